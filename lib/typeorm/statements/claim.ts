import type { Tables } from '../tables.js';
import { FLOW_COLUMNS, GAVE_BACK, GONE, NOTED, WAITS } from './flow-notes.js';
import { CLAIMED_COLUMNS, READ, READ_COLUMNS } from './owned.js';
import { CLOCK, PARKED, toMs, toTime, type Statement } from './statement.js';

/**
 * Leases due tasks to a worker, and tells when the next one is due. Served by workflow_task_due, for each workflow from the
 * earliest on; the floor skips the dead index entries of what was claimed before (without it a claim slows down linearly
 * behind them while an old snapshot keeps them alive). Calls have queues and places ($7) of their own. `array(…)` keeps the planner from running the locking part twice.
 * Smaller priorities first: each of those in use ($8) is looked at by itself; a claim without a floor also says which are.
 * What is claimed is read at once, where it is short ($9). What becomes due within $10 ms is claimed as well, so that it is at
 * hand when it does.
 * Tasks with a flow-control key are none of these; `flow_due_at` tells when there is something in their lines (see flow.ts).
 */
export const claim: Statement = {
  name: 'workflow_claim',
  text: (t) => `
with ${CLOCK('$1')},
picked as materialized (
  select d.id, d.due_at, d.kind, p.priority
  from clock c
  cross join unnest($3::text[], $4::int[]) as w(name, places)
  cross join unnest($8::smallint[]) as p(priority)
  cross join lateral (
    select k.id, k.due_at, k.kind
    from ${t.task} k
    where k.workflow = w.name and k.priority = p.priority and k.lease_owner is null and k.flow_key is null
      and k.due_at <= c.now + $10::float8 * interval '1 ms' and k.due_at >= coalesce(${toTime('$5::float8')}, '-infinity')
    order by k.due_at
    limit w.places
    for update skip locked
  ) d
),
chosen as (
  (select p.id from picked p where p.kind <> 'call' order by p.priority, p.due_at limit $6)
  union all
  (select p.id from picked p where p.kind = 'call' order by p.priority, p.due_at limit $7)
),
claimed as (
  update ${t.task} k
  set lease_owner = $2::uuid, fence = k.fence + 1, turn = 0
  where k.id = any(array(select id from chosen))
  returning k.id, k.fence, k.execution, k.kind, k.step_key, k.flow_key, k.due_at
),
upcoming as (
  select min(d.due_at) as due_at
  from clock c
  cross join unnest($3::text[]) as w(name)
  cross join unnest($8::smallint[]) as p(priority)
  cross join lateral (
    select k.due_at
    from ${t.task} k
    where k.workflow = w.name and k.priority = p.priority and k.lease_owner is null and k.flow_key is null
      and k.due_at > c.now + $10::float8 * interval '1 ms' and k.due_at < 'infinity'
    order by k.due_at
    limit 1
  ) d
),
flow as (
  select min(d.ready_at) as due_at
  from clock c
  cross join lateral (
    (select c.now as ready_at from ${t.flowNote} n where n.noted_at >= coalesce(${toTime('$5::float8')}, '-infinity') limit 1)
    union all
    select f.ready_at
    from unnest($3::text[] || ''::text) as w(name)
    cross join lateral (
      select f.ready_at from ${t.flow} f
      where f.workflow = w.name and not f.paused and not f.is_full and f.ready_at < 'infinity'
      order by f.ready_at
      limit 1
    ) f
  ) d
)
select ${toMs('c.now')} as now, (select ${toMs('min(p.due_at)')} from picked p) as oldest_due_at, ${toMs('u.due_at')} as next_due_at, ${toMs('f.due_at')} as flow_due_at,
       case when $5::float8 is null then ${PRIORITIES(t)} end as priorities, ${toMs('k.due_at')} as task_due_at, ${CLAIMED_COLUMNS}, ${READ_COLUMNS}
from clock c
cross join upcoming u
cross join flow f
left join (claimed k join ${t.run} r on r.id = k.execution) on true
left join lateral (${READ(t, '$9')}) l on true`,
};

/** Which priorities wait in these queues, one index probe each. */
const PRIORITIES = (t: Tables): string => `array(
    with recursive used(workflow, priority) as (
      select w.name, (-32768)::smallint from unnest($3::text[]) as w(name)
      union all
      select u.workflow, n.priority
      from used u
      cross join lateral (
        select k.priority from ${t.task} k
        where k.workflow = u.workflow and k.lease_owner is null and k.flow_key is null
          and k.priority > u.priority and k.priority < ${PARKED}
        order by k.priority
        limit 1
      ) n
    )
    select distinct priority from used where priority > -32768
  )`;

/**
 * Gives leases back, and says why nothing can be done for them ($5), if so: fence + 1 shuts out whoever still works under them. A task whose run has ended goes: it was inserted by
 * a commit that a cancel did not see.
 */
export const release: Statement = {
  name: 'workflow_release',
  text: (t) => `
with ${CLOCK('$1')},
locked as materialized (
  select k.id, exists (select from ${t.run} r where r.id = k.execution and r.status = 'active') as active
  from ${t.task} k join unnest($2::bigint[], $3::int[]) as i(task_id, fence) on k.id = i.task_id and k.fence = i.fence
  where k.lease_owner is not null
  order by k.id
  for update of k
),
gone as (
  delete from ${t.task} k using locked l where k.id = l.id and not l.active returning ${FLOW_COLUMNS}
),
freed as (
  update ${t.task} k
  set lease_owner = null, fence = k.fence + 1, turn = 0, due_at = c.now + $4::float8 * interval '1 ms',
      stuck = coalesce($5, k.stuck)
  from locked l, clock c
  where k.id = l.id and l.active
  returning ${FLOW_COLUMNS}
),${NOTED(t, GONE('gone'), GAVE_BACK('freed'))}
select 1 where false`,
};

/** What is leased to a worker of the steps of one run; a sweep may have given some of it to others already. */
export const leasedSteps: Statement = {
  name: 'workflow_leased_steps',
  text: (t) => `
select id as task_id, fence, step_key as key from ${t.task}
where execution = $1::bigint and step_key <> '' and kind = 'step' and lease_owner = $2::uuid`,
};

/** Moves a lease to the worker that executes it. */
export const adopt: Statement = {
  name: 'workflow_adopt',
  text: (t) => `
update ${t.task} set lease_owner = $3::uuid
where id = $1::bigint and fence = $2::int and lease_owner is not null
returning id`,
};

/** The code asked for a step after its activation was closed. */
export const reactivate: Statement = {
  name: 'workflow_reactivate',
  text: (t) => `
with ${CLOCK('$1')},
woken as (
  update ${t.task} k
  set wanted = k.wanted + 1, due_at = least(k.due_at, c.now), gather = k.gather + $3::int
  from clock c
  where k.execution = $2::bigint and k.step_key = ''
  returning ${FLOW_COLUMNS}
),${NOTED(t, WAITS('woken'))}
select 1 where false`,
};
