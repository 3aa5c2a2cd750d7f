import { FLOW_COLUMNS, NOTED, WAITS } from './flow-notes.js';
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
locked as materialized (
  select k.id, k.execution
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
  returning execution
),
woken as (
  update ${t.task} k
  set wanted = k.wanted + m.results, due_at = least(k.due_at, c.now)
  from (select execution, count(*)::int as results from messages group by execution) m, clock c
  where k.execution = m.execution and k.step_key = ''
  returning ${FLOW_COLUMNS}
),${NOTED(t, WAITS('woken'))}
update ${t.run} r set unreported = false
from ended e
where r.id = e.id
returning r.id`,
};

/** Cancelled runs whose children are all cancelled too, or stay on purpose, owe nothing any more. */
export const cascaded: Statement = {
  name: 'workflow_cascaded',
  text: (t) => `
update ${t.run} p set uncascaded = false
where p.uncascaded and not exists (
  select from ${t.run} r where r.parent_id = p.id and r.status = 'active' and r.cascades and r.cancelling_at is null
)`,
};
