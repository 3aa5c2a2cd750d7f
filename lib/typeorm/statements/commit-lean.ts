import type { Tables } from '../tables.js';
import { ADVANCED, ENTRIES, LOCKED, MOVED, OWES, RESULTS } from './commit-parts.js';
import { IMPATIENT_CLOCK, type Statement } from './statement.js';

/** The ends that leave nothing to be told but their result. */
const ENDS = `('completed', 'failed')`;

/**
 * The hot half of `commit`, for commits that are `lean` (see the port): no new tasks, no used-up messages, no flow-control key, no
 * retry of the run, and of a run that ends its advance task is the only one. Same locks in the same order, same fence on the
 * locked row, same answers when it is repeated; what is left out has nothing to do for such a commit, and costs to
 * start and end all the same: of a lone commit of a step the server's part is 0.09 ms instead of 0.18 (pg_stat_statements).
 *
 * Three texts of it, because each part costs something although it finds nothing. The smallest is that of steps in-process, for which
 * only rows are written; over HTTP the turn is counted as well; the whole one can also suspend and end.
 */

/** Many commits: $2-$9, and journal rows $10-$26 (the first is the number of their commit). */
const MANY = (t: Tables): string => `
with ${IMPATIENT_CLOCK('$1')},${LOCKED(t)},
owned as materialized (
  select i.n, i.task_id, i.fence, i.execution, i.turn, i.wanted, i.next, i.data, i.due_ms, l.wanted as wanted_now
  from unnest($2::bigint[], $3::int[], $4::bigint[], $5::int[], $6::int[], $7::text[], $8::text[], $9::float8[]) with ordinality
    as i(task_id, fence, execution, turn, wanted, next, data, due_ms, n)
  join locked l on l.id = i.task_id and l.fence = i.fence and (i.turn is null or l.turn = i.turn)
),
rows as (${ENTRIES(t)}
  from unnest($10::int[], $11::text[], $12::text[], $13::text[], $14::text[], $15::int[], $16::text[], $17::text[], $18::int[],
              $19::float8[], $20::float8[], $21::float8[], $22::text[], $23::uuid[], $24::boolean[], $25::text[], $26::text[])
    as n(n, key, name, kind, state, position, value, failure, attempts, asked_at, finished_at, wake_at, event, event_id, dispatched, digest, request)
  join owned o using (n)${ADVANCED}
)`;

/**
 * One commit of one row: the same without arrays. Alone a step is what a run waits for, and of that the functions and joins that
 * take arrays apart were a sixth: a run of ten steps costs the server 2.7 ms instead of 3.6, and Node 1.4 instead of 2.1.
 * The row that is locked is what the conditions are checked on again, so fence and turn are those that hold now.
 */
const ONE = (t: Tables): string => `
with ${IMPATIENT_CLOCK('$1')},
owned as materialized (
  select k.id as task_id, k.fence, $4::bigint as execution, $5::int as turn, $6::int as wanted, $7::text as next, $8::text as data,
         $9::float8 as due_ms, k.wanted as wanted_now
  from ${t.task} k
  where (select c.now is not null from clock c) and k.id = $2::bigint and k.fence = $3::int and ($5::int is null or k.turn = $5::int)
  for update
),
rows as (${ENTRIES(t)}
  from (select $10::text as key, $11::text as name, $12::text as kind, $13::text as state, $14::int as position, $15::text as value,
               $16::text as failure, $17::int as attempts, $18::float8 as asked_at, $19::float8 as finished_at, $20::float8 as wake_at,
               $21::text as event, $22::uuid as event_id, $23::boolean as dispatched, $24::text as digest, $25::text as request) n
  cross join owned o${ADVANCED}
)`;

const textOf = (begin: (t: Tables) => string, t: Tables, ...parts: ((t: Tables) => string)[]): string =>
  `${begin(t)}${parts.map((part) => `,\n${part(t)}`).join('')}${RESULTS}`;

const ENDED = (t: Tables): string => `
inbox as (
  delete from ${t.message} m using owned o where m.execution = o.execution and o.next in ${ENDS}
),
runs as (
  update ${t.run} r
  set status = o.next, finished_at = c.now, ended_fence = o.fence,
      result = case when o.next = 'completed' then o.data end, error = case when o.next = 'failed' then o.data end,
      unreported = ${OWES}, cancelling_at = null
  from owned o, clock c
  where r.id = o.execution and o.next in ${ENDS}
),
gone as (
  delete from ${t.task} k using owned o where k.id = o.task_id and o.next in ${ENDS}
)`;

const GOING_ON = (t: Tables): string => `
suspended as (${MOVED(t)}
)`;

/** The parts of each of the three. */
const PARTS = {
  /** any lean commits */
  workflow_commit_lean: [ENDED, GOING_ON],
  /** lean commits that go on */
  workflow_commit_turns: [GOING_ON],
  /** lean commits that go on and count no turn */
  workflow_commit_steps: [],
};

export type LeanStatement = keyof typeof PARTS;

const statementsOf = (begin: (t: Tables) => string): Record<LeanStatement, Statement> => {
  const of = (name: LeanStatement): Statement => ({ name, text: (t) => textOf(begin, t, ...PARTS[name]) });
  return {
    workflow_commit_lean: of('workflow_commit_lean'),
    workflow_commit_turns: of('workflow_commit_turns'),
    workflow_commit_steps: of('workflow_commit_steps'),
  };
};

export const commitMany = statementsOf(MANY);
export const commitOne = statementsOf(ONE);
