import type { Database } from '../typeorm/database.js';
import { toMs, toTime } from '../typeorm/statements/statement.js';
import { tablesOf } from '../typeorm/tables.js';

/** What is to be done for the workflows of an application, at one moment of their time. */
export interface Workload {
  readonly leased: number;
  readonly due: number;
  /** runs that have ended and owe something: a parent to be told, children to be cancelled */
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
select count(k.lease_owner)::int as leased,
       count(*) filter (where k.lease_owner is null and k.due_at <= ${toTime('$1::float8')})::int as due,
       ${toMs(`min(k.due_at) filter (where k.lease_owner is null and k.due_at > ${toTime('$1::float8')} and k.due_at < 'infinity')`)} as next_at,
       (select count(*)::int from ${t.run} r where r.unreported or r.uncascaded) as owed
from ${t.task} k
where k.workflow = any($2::text[])`,
    // their calls stand in queues beside theirs
    [now, workflows.flatMap((name) => [name, `${name}@call`])],
  );
  return { leased: row!.leased, due: row!.due, owed: row!.owed, nextAt: row!.next_at };
}
