import { FLOW_COLUMNS, NOTED, WAITS } from './flow-notes.js';
import { ARRIVED, CLAIMED_COLUMNS, LEASED, READ, READ_COLUMNS, TAKEN } from './owned.js';
import { CLOCK, type Statement } from './statement.js';

/**
 * What is owed after an end, paid in statements of their own: a child and its parent may commit in one batch, and one
 * statement must not write one task row twice. The marks (`unreported`, `uncascaded`) were set by the commit that ended the
 * run, so a process that dies in between leaves them to the next pass of any other.
 */

/**
 * Tells parents how their children have ended: a message for the step that invoked the child, and the parent's advance task
 * rises. Each once: its id comes from the child's execution, and the mark is cleared in the same commit. Ended rows are
 * written by nobody else; those of another pass under way are skipped. A parent that has ended gets nothing.
 * Deletes what is left in the inboxes of what has ended (see `OWES`): of a run without a parent that is all there is to do.
 * With a worker ($2) up to $4 parents of the queues that it serves ($3) are leased to it and read, as by a claim (see owned.ts).
 */
export const reportChildren: Statement = {
  name: 'workflow_report_children',
  text: (t) => `
with ${CLOCK('$1')},
ended as materialized (
  select r.id, r.parent_id, r.parent_key, r.status, coalesce(r.result, r.error, '') as data
  from ${t.run} r
  where r.unreported
  order by r.id
  limit 500
  for update skip locked
),
inboxes as (
  delete from ${t.message} m where m.execution = any(array(select id from ended))
),
locked as materialized (
  select k.id, k.execution, ${TAKEN('k', '$2', '$3')} as may_be_taken
  from ${t.task} k
  where k.execution = any(array(select parent_id from ended)) and k.step_key = ''
  order by k.id
  for update
),
messages as (
  insert into ${t.message} (id, execution, kind, event, event_id, key, data, created_at)
  select md5('child' || e.id)::uuid, l.execution, e.status, '', md5('child' || e.id)::uuid, e.parent_key, e.data, c.now
  from ended e join locked l on l.execution = e.parent_id, clock c
  on conflict (id) do nothing
  returning *
),
told as materialized (
  select l.id, m.results, l.may_be_taken and row_number() over (order by not l.may_be_taken, l.id) <= $4::int as is_taken
  from (select execution, count(*)::int as results from messages group by execution) m join locked l using (execution)
),
woken as (
  update ${t.task} k
  set wanted = k.wanted + n.results, due_at = least(k.due_at, c.now),${LEASED('n.is_taken', '$2')}
  from told n, clock c
  where k.id = n.id
  returning k.id, k.fence, k.execution, k.kind, k.step_key, n.is_taken, ${FLOW_COLUMNS}
),${NOTED(t, WAITS('woken'))},
reported as (
  update ${t.run} r set unreported = false
  from ended e
  where r.id = e.id
  returning r.id
)
select (select count(*)::int from reported) as reported, exists (select from woken w where not w.is_taken) as due,
       ${CLAIMED_COLUMNS}, ${READ_COLUMNS}, ${ARRIVED('messages')}
from clock c
left join (woken k join ${t.run} r on r.id = k.execution) on k.is_taken
left join lateral (${READ(t, '$5')}) l on true`,
};

/**
 * Children of which their parents know already. Ordered, and without waiting: what another pass has locked it reports itself, and a
 * parent that knows already leaves its message aside.
 */
export const markReported: Statement = {
  name: 'workflow_mark_reported',
  text: (t) => `
with known as materialized (
  select r.id from ${t.run} r
  where r.id = any($1::bigint[]) and r.unreported
  order by r.id
  for update skip locked
),
inboxes as (
  delete from ${t.message} m where m.execution = any(array(select id from known))
)
update ${t.run} r set unreported = false where r.id = any(array(select id from known))`,
};

/**
 * Cancelled runs whose children are all cancelled too, or stay on purpose, owe nothing any more. What their cancel did not see of their
 * inboxes goes here: it deleted what its snapshot showed, which may be older than the lock that it waited for. One that is still
 * undoing what it did is active, and keeps its inbox; if it ends while this waits for its header, `OWES` has left the other mark.
 */
export const cascaded: Statement = {
  name: 'workflow_cascaded',
  text: (t) => `
with paid as (
  update ${t.run} p set uncascaded = false
  where p.uncascaded and not exists (
    select from ${t.run} r where r.parent_id = p.id and r.status = 'active' and r.cascades and r.cancelling_at is null
  )
  returning p.id, p.status
)
delete from ${t.message} m where m.execution = any(array(select id from paid where status <> 'active'))`,
};
