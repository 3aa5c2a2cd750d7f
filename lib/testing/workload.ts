import type { Database } from '../typeorm/database.js';
import { OWED_SINGLETONS } from '../typeorm/statements/singleton.js';
import { PARKED, toMs, toTime } from '../typeorm/statements/statement.js';
import { tablesOf } from '../typeorm/tables.js';

/** What is to be done for the workflows of an application, at one moment of their time. */
export interface Workload {
  readonly leased: number;
  readonly due: number;
  /** runs that have ended and owe something: a parent to be told, children to be cancelled, a singleton key to be handed on */
  readonly owed: number;
  /** when the next task becomes due, in ms; null when none does by time alone */
  readonly nextAt: number | null;
}

/** Reads all of it in one statement, and so in one snapshot: a task on its way from due to leased is counted. */
export async function workloadAt(
  database: Database,
  workflows: readonly string[],
  now: number,
): Promise<Workload> {
  const { schema } = database.source.options as { schema?: string };
  const t = tablesOf(schema);
  const [row] = await database.query<{ leased: number; due: number; owed: number; next_at: number | null }>(
    'workflow_bench_workload',
    `
with waiting as (
  -- behind a flow-control key a task waits for a slot too (whose lease is counted), and for the rate; parked it waits for another run
  select greatest(k.due_at, f.blocked_until) as at, coalesce(f.is_full, false) as is_full
  from ${t.task} k left join ${t.flow} f on f.key = k.flow_key
  where k.workflow = any($2::text[]) and k.lease_owner is null and k.priority < ${PARKED} and not coalesce(f.paused, false)
)
select (select count(*)::int from ${t.task} k where k.workflow = any($2::text[]) and k.lease_owner is not null) as leased,
       count(*) filter (where not w.is_full and w.at <= ${toTime('$1::float8')})::int + (select count(*)::int from ${t.flowNote}) as due,
       ${toMs(`min(w.at) filter (where w.at > ${toTime('$1::float8')} and w.at < 'infinity')`)} as next_at,
       (select count(*)::int from ${t.run} r where r.unreported or r.uncascaded) + (${OWED_SINGLETONS(t)})::int as owed
from waiting w`,
    // their calls stand in queues beside theirs
    [now, workflows.flatMap((name) => [name, `${name}@call`])],
  );
  // the clock of the bench goes by whole milliseconds
  const nextAt = row!.next_at === null ? null : Math.ceil(row!.next_at);
  return { leased: row!.leased, due: row!.due, owed: row!.owed, nextAt };
}
