import type { Tables } from '../tables.js';
import { ADVANCED, ENTRIES, LOCKED } from './commit-parts.js';
import { IMPATIENT_CLOCK, type Statement } from './statement.js';

/** What a row of a plain step has beside what is sent of it. */
const PLAIN = `
  select o.key, o.name, 'step' as kind, 'journaled' as state, o.position, o.value, o.failure, o.attempts, o.asked_at, o.finished_at,
         null::float8 as wake_at, null::text as event, null::uuid as event_id, false as dispatched, o.digest, null::text as request`;

const COLUMNS = 'key, name, position, value, failure, attempts, asked_at, finished_at, digest';

/** Owned commits `o`, each with the columns of its row; what of them was not stored. */
const textOf = (t: Tables, owned: string, result: string): string => `
with ${IMPATIENT_CLOCK('$1')},${owned},
rows as (${ENTRIES(t)}
  from owned o cross join lateral (${PLAIN}) n${ADVANCED}
)
${result}`;

/**
 * The hottest commit: steps in-process, one answered step each, and the run goes on (`workflow_commit_steps` of commit-lean.ts, with
 * the same lock, fence and rule for the journal). Half of the columns of a row are the same for all of these, and nothing of a
 * commit is of interest but whether it held: one row comes back, which names those that did only when not all of them did.
 *
 * $2-$4 leases and executions, $5-$13 rows.
 */
export const plainMany: Statement = {
  name: 'workflow_commit_steps',
  text: (t) =>
    textOf(
      t,
      `${LOCKED(t)},
owned as materialized (
  select i.*
  from unnest($2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[], $10::int[], $11::float8[],
              $12::float8[], $13::text[]) with ordinality as i(task_id, fence, execution, ${COLUMNS}, n)
  join locked l on l.id = i.task_id and l.fence = i.fence
)`,
      `select count(*)::int as held, case when count(*) < cardinality($2::bigint[]) then string_agg(o.n::text, ',') end as which
from owned o`,
    ),
};

/** The same for one: see `commitOne`. */
export const plainOne: Statement = {
  name: 'workflow_commit_steps',
  text: (t) =>
    textOf(
      t,
      `
owned as materialized (
  select $4::bigint as execution, $5::text as key, $6::text as name, $7::int as position, $8::text as value, $9::text as failure,
         $10::int as attempts, $11::float8 as asked_at, $12::float8 as finished_at, $13::text as digest
  from ${t.task} k
  where (select c.now is not null from clock c) and k.id = $2::bigint and k.fence = $3::int
  for update
)`,
      `select count(*)::int as held, null as which from owned o`,
    ),
};
