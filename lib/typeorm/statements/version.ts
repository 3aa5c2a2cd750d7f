import type { Tables } from '../tables.js';
import { FLOW_COLUMNS, NOTED, WAITS } from './flow-notes.js';
import { callQueue, CLOCK, QUEUE, type Statement } from './statement.js';

/** A process that says nothing about what it serves is of the release before, and may serve everything. */
const SERVED = (t: Tables, queue: string): string => `
exists (select from ${t.worker} w where w.serves is null or ${queue} = any(w.serves))`;

/** True when processes are there that claim, and none of them from this queue. */
export const IS_UNSERVED = (t: Tables, queue: string): string => `
(not ${SERVED(t, queue)} and exists (select from ${t.worker} w where w.serves <> '{}'))`;

/**
 * Queues in which tasks wait and that no process serves: each queue is found by one index probe, those behind flow-control keys
 * by the heads of the lines. Calls stand in a queue beside that of their workflow.
 */
const UNSERVED = (t: Tables): string => `
with recursive queues(name) as (
  (select k.workflow from ${t.task} k where k.lease_owner is null and k.flow_key is null order by k.workflow limit 1)
  union all
  select n.workflow
  from queues q
  cross join lateral (
    select k.workflow from ${t.task} k
    where k.lease_owner is null and k.flow_key is null and k.workflow > q.name
    order by k.workflow
    limit 1
  ) n
),
lines(key, name) as (
  select f.key, l.workflow
  from ${t.flow} f
  cross join lateral (
    select k.workflow from ${t.task} k where k.flow_key = f.key and k.lease_owner is null order by k.workflow limit 1
  ) l
  where f.workflow = ''
  union all
  select p.key, l.workflow
  from lines p
  cross join lateral (
    select k.workflow from ${t.task} k
    where k.flow_key = p.key and k.lease_owner is null and k.workflow > p.name
    order by k.workflow
    limit 1
  ) l
)
select distinct a.queue
from (
  select q.name from queues q
  union all
  select f.workflow from ${t.flow} f where f.workflow <> '' and f.head_at < 'infinity'
  union all
  select l.name from lines l
) n
cross join lateral (select regexp_replace(n.name, '@call$', '') as queue) a
where ${IS_UNSERVED(t, 'a.queue')}`;

export const unservedQueues: Statement = {
  name: 'workflow_unserved_queues',
  text: (t) => UNSERVED(t),
};

/** Executions that cannot go on until somebody acts. */
export const STUCK = (t: Tables): string => `
select k.execution from ${t.task} k where k.stuck is not null
union
select k.execution from (${UNSERVED(t)}) u join ${t.task} k on k.workflow = u.queue and k.lease_owner is null`;

/** The columns of a task that goes on in another version. */
const REQUEUED = (version: string): string =>
  `case k.kind when 'call' then ${callQueue(`(${QUEUE('l.run_workflow', version)})`)} else ${QUEUE('l.run_workflow', version)} end`;

/**
 * Runs of versions that nobody serves go on in another one: $3 of workflow $4 from version $5 to $6, by the queue in which they
 * stand. Only runs that wait: all their tasks are locked, in order of id, and then the header, as `cancel` does; one whose
 * process has come back and has claimed it meanwhile is left to that.
 */
export const takeOver: Statement = {
  name: 'workflow_take_over',
  text: (t) => `
with ${CLOCK('$1')},
moves as (
  select * from unnest($3::text[], $4::text[], $5::text[], $6::text[]) as m(queue, workflow, version, target)
),
standing as (
  select k.execution, m.* from moves m join ${t.task} k
    on k.workflow = m.queue and k.lease_owner is null and k.flow_key is null and k.step_key = ''
  union all
  select k.execution, m.* from moves m join ${t.task} k
    on k.workflow = m.queue and k.lease_owner is null and k.flow_key is not null and k.step_key = ''
),
chosen as materialized (
  select s.execution, s.version, s.target
  from standing s
  cross join lateral (
    select from ${t.run} r where r.id = s.execution and r.workflow = s.workflow and r.version is not distinct from s.version
    limit 1
  ) r
  limit $2
),
locked as materialized (
  select k.id, k.execution, k.step_key, k.lease_owner, r.workflow as run_workflow, r.version, x.version as was, x.target
  from chosen x join ${t.task} k on k.execution = x.execution join ${t.run} r on r.id = x.execution
  where k.execution = any(array(select execution from chosen)) and r.id = any(array(select execution from chosen))
  order by k.id
  for update of k, r
),
ready as materialized (
  select l.execution, min(l.target) as target
  from locked l
  where l.version is not distinct from l.was
  group by l.execution
  having bool_or(l.step_key = '' and l.lease_owner is null)
),
moved as (
  update ${t.task} k set workflow = ${REQUEUED('y.target')}, stuck = null
  from locked l join ready y using (execution)
  where k.id = l.id
  returning ${FLOW_COLUMNS}
),${NOTED(t, WAITS('moved'))},
runs as (
  update ${t.run} r set version = y.target from ready y where r.id = y.execution
)
select y.execution from ready y`,
};

/**
 * Lets runs that are stuck be tried again now; with $3, in version $4, whatever they are doing: whoever works on such a run is
 * shut out by the fence. A run that ends while this waits for the lock has no task left. A run without tasks may have gone on
 * as a new execution, which this snapshot does not show: it comes back as \`moved\`, and the caller asks again.
 */
export const resumeRuns: Statement = {
  name: 'workflow_resume_runs',
  text: (t) => `
with ${CLOCK('$1')},
target as materialized (
  select r.id from ${t.run} r where r.status = 'active' and r.is_current and r.run_id = any($2::text[])
),
locked as materialized (
  select k.id, k.execution, k.step_key, k.stuck, r.run_id, r.workflow as run_workflow
  from target x join ${t.task} k on k.execution = x.id join ${t.run} r on r.id = x.id
  order by k.id
  for update of k, r
),
chosen as materialized (
  select l.execution, min(l.run_id) as run_id from locked l
  group by l.execution
  having $3::boolean or bool_or(l.stuck is not null)
),
resumed as (
  update ${t.task} k
  set stuck = null,
      workflow = case when $3 then ${REQUEUED('$4::text')} else k.workflow end,
      lease_owner = case when $3 and k.step_key = '' then null else k.lease_owner end,
      fence = k.fence + ($3 and k.step_key = '')::int,
      turn = case when $3 and k.step_key = '' then 0 else k.turn end,
      lost = case when k.step_key = '' then 0 else k.lost end,
      gather = case when k.step_key = '' then 0 else k.gather end,
      wanted = k.wanted + (k.step_key = '')::int,
      due_at = case when k.step_key = '' or l.stuck is not null then least(k.due_at, c.now) else k.due_at end
  from locked l join chosen x using (execution), clock c
  where k.id = l.id
  returning ${FLOW_COLUMNS}
),${NOTED(t, `select flow_key, workflow, due_at, true as frees from resumed where lease_owner is null`)},
runs as (
  update ${t.run} r set version = $4::text from chosen x where $3 and r.id = x.execution
)
select x.execution, x.run_id, false as moved from chosen x
union all
select x.id, null, true from target x where not exists (select from locked l where l.execution = x.id)`,
};
