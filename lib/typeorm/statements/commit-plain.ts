import type { Tables } from '../tables.js';
import { ADVANCED, ENTRIES, LOCKED } from './commit-parts.js';
import { IMPATIENT_CLOCK, type Statement } from './statement.js';

/** What a row of a plain step has beside what is sent of it. */
const PLAIN = `
  select o.key, o.name, 'step' as kind, 'journaled' as state, o.position, o.value, o.failure, o.attempts, o.asked_at, o.finished_at,
         null::float8 as wake_at, null::text as event, null::uuid as event_id, false as dispatched, o.digest, null::text as request`;

const COLUMNS = 'key, name, position, value, failure, attempts, asked_at, finished_at, digest';

/**
 * The hottest commit: steps in-process, one answered step each, and the run goes on (`workflow_commit_steps` of commit-lean.ts, with
 * the same lock, fence and rule for the journal). Half of the columns of a row are the same for all of these, and nothing of a
 * commit is of interest but whether it held: one row comes back, which names those that did only when not all of them did.
 *
 * $2-$4 leases and executions, $5-$13 rows.
 */
export const plainMany: Statement = {
  name: 'workflow_commit_steps',
  text: (t: Tables) => `
with ${IMPATIENT_CLOCK('$1')},${LOCKED(t)},
owned as materialized (
  select i.*
  from unnest($2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[], $10::int[], $11::float8[],
              $12::float8[], $13::text[]) with ordinality as i(task_id, fence, execution, ${COLUMNS}, n)
  join locked l on l.id = i.task_id and l.fence = i.fence
),
rows as (${ENTRIES(t)}
  from owned o cross join lateral (${PLAIN}) n${ADVANCED}
)
select count(*)::int as held, case when count(*) < cardinality($2::bigint[]) then string_agg(o.n::text, ',') end as which
from owned o`,
};
