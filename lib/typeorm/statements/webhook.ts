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
 * A call of a webhook: into the inbox of its run, and the advance task rises, in one commit, whatever the run is doing. Calls
 * wait there in the order of their time and id until a wait takes them. A run that ends while this waits for its task takes
 * that task away: then there is no row, and nothing was written.
 */
export const callWebhook: Statement = {
  name: 'workflow_call_webhook',
  text: (t) => `
with ${CLOCK('$1')},
locked as materialized (
  select k.id, k.execution
  from ${t.task} k
  where k.step_key = '' and k.execution = (select s.execution from ${t.step} s where s.kind = 'webhook' and s.event = $2)
  order by k.id
  for update
),
message as (
  insert into ${t.message} (id, execution, event, event_id, data, created_at)
  select $3::uuid, l.execution, $2, $3::uuid, $4, c.now from locked l, clock c
  on conflict (id) do nothing
)
update ${t.task} k set wanted = k.wanted + 1, due_at = least(k.due_at, c.now)
from locked l, clock c
where k.id = l.id
returning k.id`,
};
