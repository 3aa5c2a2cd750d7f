import { FLOW_COLUMNS, NOTED, WAITS } from './flow-notes.js';
import { CLOCK, type Statement } from './statement.js';

/** The webhook of a token, while its run goes on. Served by workflow_step_webhook; reads only. */
export const findWebhook: Statement = {
  name: 'workflow_find_webhook',
  text: (t) => `
select r.run_id, r.workflow, r.version, s.request
from ${t.step} s join ${t.run} r on r.id = s.execution and r.status = 'active'
where s.kind = 'webhook' and s.event = $1`,
};

/**
 * A call of a webhook: into the inbox of its run, and `wanted` rises, in one commit, whatever the run is doing. Calls wait there in
 * the order of their time and id until a wait takes them. A run that ends while this waits for its task takes that task away: then
 * there is no row, and nothing was written.
 *
 * The task becomes due unless the run sleeps and waits for no call now: a thousand calls before the first wait need not replay it a
 * thousand times. That is read from the snapshot, which may be older than the lock: the run may have begun to wait in between. But
 * waits are written under a lease alone, and each lease raises the fence: who found the task without a lease before the lock, and
 * finds it so with the same fence under it, has seen every wait there is. Any later one is committed after this, and finds that
 * `wanted` has grown.
 */
export const callWebhook: Statement = {
  name: 'workflow_call_webhook',
  text: (t) => `
with ${CLOCK('$1')},
hook as materialized (
  select s.execution from ${t.step} s where s.kind = 'webhook' and s.event = $2
),
undisturbed as materialized (
  select k.id, k.fence
  from ${t.task} k join hook h using (execution)
  where k.step_key = '' and k.lease_owner is null
    and not exists (select from ${t.step} w where w.execution = k.execution and w.state = 'pending' and w.event = $2)
),
locked as materialized (
  select k.id, k.execution, k.fence, k.lease_owner
  from ${t.task} k
  where k.step_key = '' and k.execution = (select execution from hook)
  order by k.id
  for update
),
message as (
  insert into ${t.message} (id, execution, event, event_id, data, created_at)
  select $3::uuid, l.execution, $2, $3::uuid, $4, c.now from locked l, clock c
  on conflict (id) do nothing
),
woken as (
  update ${t.task} k
  set wanted = k.wanted + 1, due_at = case when u.id is null then least(k.due_at, c.now) else k.due_at end
  from clock c, locked l left join undisturbed u on u.id = l.id and u.fence = l.fence and l.lease_owner is null
  where k.id = l.id
  returning u.id is null as due, ${FLOW_COLUMNS}
),${NOTED(t, WAITS('woken'))}
select due from woken`,
};
