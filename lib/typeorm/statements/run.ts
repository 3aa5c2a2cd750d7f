import type { Tables } from '../tables.js';
import { FLOW_COLUMNS, GAVE_BACK, GONE, NOTED } from './flow-notes.js';
import { IS_UNSERVED, STUCK } from './version.js';
import { CLOCK, STEP_COLUMNS, toMs, type Statement } from './statement.js';

/**
 * What a person calls the status: the header knows whether a run has ended; whether it runs or waits, its tasks know.
 * `pending`: never claimed. `running`: one of its tasks is leased. `waiting`: none is.
 */
const STATUS = `case when r.status <> 'active' then r.status
  when k.held > 0 then 'running'
  when k.fence = 0 then 'pending'
  else 'waiting' end`;

const RECORD = (t: Tables): string => `
select r.id as execution, r.run_id, r.workflow, r.version, r.payload, r.labels, r.attempt, r.depth, r.parent_id is not null as child, r.singleton_key,
       r.rollbacks, r.cancelling_at is not null as cancelling,
       ${toMs('r.created_at')} as created_at, ${toMs('r.deadline_at')} as deadline_at, ${toMs('r.finished_at')} as finished_at,
       r.result, r.error, ${STATUS} as status, k.stuck,
       k.held = 0 and ${IS_UNSERVED(t, 'k.queue')} as unserved
from ${t.run} r
left join lateral (
  select count(k.lease_owner) as held, max(k.fence) as fence, max(k.stuck) as stuck,
         max(k.workflow) filter (where k.step_key = '') as queue
  from ${t.task} k where k.execution = r.id
) k on r.status = 'active'`;

export const findRun: Statement = {
  name: 'workflow_find_run',
  text: (t) => `${RECORD(t)} where r.run_id = $1 and r.is_current`,
};

export const endedRuns: Statement = {
  name: 'workflow_ended_runs',
  text: (t) => `${RECORD(t)} where r.run_id = any($1::text[]) and r.is_current and r.status <> 'active'`,
};

/** Newest first; the page after `before` (an execution id). Of a run that went on as new, its present execution. Filters that are null do not filter. */
export const listRuns: Statement = {
  name: 'workflow_list_runs',
  text: (t) => `
select * from (${RECORD(t)}
  where r.is_current and ($1::text is null or r.workflow = $1)
    and ($2::text is null or (r.labels @> array[$2::text] and r.labels <> '{}'))
    and ($3::float8 is null or r.created_at >= to_timestamp($3 / 1000.0))
    and ($4::float8 is null or r.created_at < to_timestamp($4 / 1000.0))
    and ($5::text[] is null or r.run_id = any($5))
    and ($6::bigint is null or r.id < $6)
    and ($9::boolean is null or r.id = any(array(${STUCK(t)})))
    and ($7::text is null or r.status = case when $7 in ('pending', 'running', 'waiting') then 'active' else $7 end)
) runs
where $7::text is null or runs.status = $7
order by runs.execution desc
limit $8::int`,
};

export const runJournal: Statement = {
  name: 'workflow_run_journal',
  text: (t) => `
select ${STEP_COLUMNS}
from ${t.run} r left join ${t.step} s on s.execution = r.id
where r.run_id = $1 and r.is_current
order by s.position nulls last, s.asked_at, s.key`,
};

/**
 * Ends the active runs of `target` as cancelled, without their lease: all their tasks are locked in order of id and deleted,
 * so every other writer finds its fence gone. A run that ends while this waits for the lock has no task left and stays as it
 * ended.
 *
 * A target without tasks has ended while this waited, or has gone on as a new execution, which this snapshot does not show:
 * it comes back as `moved`, and the caller asks again.
 *
 * One with compensations is marked instead, its open steps go, and its advance task is due with a new fence: it ends when
 * they are done. A compensation that waits or executes under a task of its own stays: the run had failed before. How many it has is read from the locked header: a commit that this has waited for may have registered the
 * first. Headers are locked after the tasks, as `commit` writes them.
 */
export const CANCEL = (t: Tables, target: string, having = ''): string => `
with ${CLOCK('$1')},
target as materialized (${target}
),
locked as materialized (
  select k.id, k.execution, k.step_key, k.lease_owner, k.fence, r.rollbacks
  from target x join ${t.task} k on k.execution = x.id join ${t.run} r on r.id = x.id
  order by k.id
  for update of k, r
),
chosen as materialized (
  select l.execution, max(l.rollbacks) > 0 as undoes
  from locked l
  group by l.execution
  having bool_or(l.step_key = '')${having}
),
gone as (
  delete from ${t.task} k using chosen x
  where k.execution = x.execution and (not x.undoes or (k.step_key <> '' and not starts_with(k.step_key, 'rollback/')))
  returning ${FLOW_COLUMNS}
),
undoing as (
  update ${t.task} k
  set lease_owner = null, fence = k.fence + 1, turn = 0, lost = 0, gather = 0, stuck = null, wanted = k.wanted + 1, due_at = c.now
  from chosen x, clock c
  where k.execution = x.execution and x.undoes and k.step_key = ''
  returning ${FLOW_COLUMNS}
),${NOTED(t, GONE('gone'), GAVE_BACK('undoing'))},
inbox as (
  delete from ${t.message} m using chosen x where m.execution = x.execution and not x.undoes
),
ended as (
  update ${t.run} r
  set status = case when x.undoes then r.status else 'cancelled' end,
    finished_at = case when not x.undoes then c.now end,
    cancelling_at = case when x.undoes then c.now end,
    uncascaded = true, unreported = not x.undoes and r.parent_id is not null
from chosen x, clock c
where r.id = x.execution
  returning r.id as execution, r.run_id
)
select e.execution, e.run_id, false as moved from ended e
union all
select x.id, null, true from target x where not exists (select from locked l where l.execution = x.id)`;

export const cancelRuns: Statement = {
  name: 'workflow_cancel_runs',
  text: (t) =>
    CANCEL(
      t,
      `
  select r.id from ${t.run} r
  where r.status = 'active' and r.is_current and r.cancelling_at is null
    and ($2::text[] is null or r.run_id = any($2))
    and ($3::text is null or r.workflow = $3)
    and ($4::text is null or (r.labels @> array[$4::text] and r.labels <> '{}'))
    and ($5::float8 is null or r.created_at >= to_timestamp($5 / 1000.0))
    and ($6::float8 is null or r.created_at < to_timestamp($6 / 1000.0))`,
      `
    and ($7::text is null or $7 = case when count(l.lease_owner) > 0 then 'running' when max(l.fence) = 0 then 'pending' else 'waiting' end)`,
    ),
};

/** Cancels the children of cancelled runs, one generation: what it cancels owes the same to its own children. */
export const cancelChildren: Statement = {
  name: 'workflow_cancel_children',
  text: (t) =>
    CANCEL(
      t,
      `
  select r.id from ${t.run} p join ${t.run} r on r.parent_id = p.id
  where p.uncascaded and r.status = 'active' and r.cascades and r.cancelling_at is null`,
    ),
};
