import { CLOCK, toMs, toTime, type Statement } from './statement.js';

/**
 * Leases due tasks to a worker, and tells when the next one is due. Served by workflow_task_due, for each workflow from the
 * earliest on; the floor skips the dead index entries of what was claimed before (without it a claim slows down linearly
 * behind them while an old snapshot keeps them alive). Calls have queues and places ($7) of their own. `array(…)` keeps the planner from running the locking part twice.
 */
export const claim: Statement = {
  name: 'workflow_claim',
  text: (t) => `
with ${CLOCK('$1')},
picked as materialized (
  select d.id, d.due_at, d.kind
  from clock c
  cross join unnest($3::text[], $4::int[]) as w(name, places)
  cross join lateral (
    select k.id, k.due_at, k.kind
    from ${t.task} k
    where k.workflow = w.name and k.priority = 0 and k.lease_owner is null
      and k.due_at <= c.now and k.due_at >= coalesce(${toTime('$5::float8')}, '-infinity')
    order by k.due_at
    limit w.places
    for update skip locked
  ) d
),
chosen as (
  (select p.id from picked p where p.kind <> 'call' order by p.due_at limit $6)
  union all
  (select p.id from picked p where p.kind = 'call' order by p.due_at limit $7)
),
claimed as (
  update ${t.task} k
  set lease_owner = $2::uuid, fence = k.fence + 1, turn = 0
  where k.id = any(array(select id from chosen))
  returning k.id, k.fence, k.execution, k.kind, k.step_key
),
upcoming as (
  select min(d.due_at) as due_at
  from clock c
  cross join unnest($3::text[]) as w(name)
  cross join lateral (
    select k.due_at
    from ${t.task} k
    where k.workflow = w.name and k.priority = 0 and k.lease_owner is null and k.due_at > c.now and k.due_at < 'infinity'
    order by k.due_at
    limit 1
  ) d
)
select ${toMs('c.now')} as now, ${toMs('u.due_at')} as next_due_at,
       k.id as task_id, k.fence, k.execution, k.kind, k.step_key, r.workflow, r.run_id, r.version
from clock c
cross join upcoming u
left join (claimed k join ${t.run} r on r.id = k.execution) on true`,
};

/**
 * Gives leases back: fence + 1 shuts out whoever still works under them. A task whose run has ended goes: it was inserted by
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
  delete from ${t.task} k using locked l where k.id = l.id and not l.active
)
update ${t.task} k
set lease_owner = null, fence = k.fence + 1, turn = 0, due_at = c.now + $4::float8 * interval '1 ms'
from locked l, clock c
where k.id = l.id and l.active`,
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
with ${CLOCK('$1')}
update ${t.task} k
set wanted = k.wanted + 1, due_at = least(k.due_at, c.now), gather = k.gather + $3::int
from clock c
where k.execution = $2::bigint and k.step_key = ''`,
};
