import { FLOW_COLUMNS, GAVE_BACK, GONE, NOTED, WAITS } from './flow-notes.js';
import { IMPATIENT_CLOCK, toTime, type Statement } from './statement.js';

/**
 * The results of step tasks. Locks the step tasks and the advance tasks of their runs in order of id (as `commit` does).
 * An answered row has no position: the holder of the advance lease gives it one. The task goes; `wanted` and `due_at` of
 * the advance task rise in the same commit, so that no answer is left lying. A retry keeps the task, for later, with a new fence: a late copy of
 * the delivery that has failed must not execute the next attempt.
 */
export const answer: Statement = {
  name: 'workflow_answer',
  text: (t) => `
with ${IMPATIENT_CLOCK('$1')},
input as (
  select * from unnest($2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::int[], $9::float8[], $10::float8[], $11::text[])
    as i(task_id, fence, execution, key, value, failure, attempts, finished_ms, retry_ms, request)
),
locked as materialized (
  select k.id, k.fence
  from ${t.task} k
  where (select c.now is not null from clock c)
    and (k.id = any($2::bigint[]) or (k.execution = any($4::bigint[]) and k.step_key = ''))
  order by k.id
  for update
),
owned as materialized (
  select i.* from input i join locked l on l.id = i.task_id and l.fence = i.fence
),
rows as (
  update ${t.step} s
  set state = case when o.retry_ms is null then 'answered' else 'pending' end,
      value = o.value, failure = o.failure, attempts = o.attempts, finished_at = ${toTime('o.finished_ms')},
      wake_at = ${toTime('o.retry_ms')}, request = o.request
  from owned o
  where s.execution = o.execution and s.key = o.key and s.state = 'pending'
),
gone as (
  delete from ${t.task} k using owned o where k.id = o.task_id and o.retry_ms is null
  returning ${FLOW_COLUMNS}
),
again as (
  update ${t.task} k
  set lease_owner = null, fence = k.fence + 1, turn = 0, lost = 0, due_at = ${toTime('o.retry_ms')}
  from owned o
  where k.id = o.task_id and o.retry_ms is not null
  returning ${FLOW_COLUMNS}
),
woken as (
  update ${t.task} k
  set wanted = k.wanted + o.answers, due_at = least(k.due_at, c.now)
  from (select execution, count(*) as answers from owned where retry_ms is null group by execution) o, clock c
  where k.execution = o.execution and k.step_key = ''
  returning ${FLOW_COLUMNS}
),${NOTED(t, GONE('gone'), GAVE_BACK('again'), WAITS('woken'))}
select o.task_id, o.fence from owned o`,
};
