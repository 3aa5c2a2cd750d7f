import type { Tables } from '../tables.js';
import { FLOW_COLUMNS, GAVE_BACK, NOTED, WAITS } from './flow-notes.js';
import { IDLE_KEYS } from './flow.js';
import { ARRIVED, CLAIMED_COLUMNS, LEASED, READ, READ_COLUMNS, TAKEN } from './owned.js';
import { OWED_SINGLETONS } from './singleton.js';
import { CLOCK, toMs, type Statement } from './statement.js';

/**
 * An event for one run: into its inbox, and the advance task rises, in one commit. It stays until a wait takes it or the run
 * ends. `waits`: an open wait is there now. A run that has ended has no advance task and gets nothing. `moved`: it was active in
 * the snapshot and had no task when it was to be locked; it may have gone on as a new execution, so the caller asks again.
 * With a worker ($6) that serves the run's queue ($7) the task is leased to it and read, as by a claim (see owned.ts).
 */
export const notifyRun: Statement = {
  name: 'workflow_notify_run',
  text: (t) => `
with ${CLOCK('$1')},
target as materialized (
  select r.id, r.run_id, r.status from ${t.run} r where r.run_id = $2 and r.is_current
),
locked as materialized (
  select k.id, k.execution, ${TAKEN('k', '$6', '$7')} as is_taken
  from ${t.task} k join target r on k.execution = r.id
  where k.step_key = ''
  order by k.id
  for update of k
),
messages as (
  insert into ${t.message} (id, execution, event, event_id, data, created_at)
  select $3::uuid, l.execution, $4, $3::uuid, $5, c.now from locked l, clock c
  on conflict (id) do nothing
  returning *
),
woken as (
  update ${t.task} k set wanted = k.wanted + 1, due_at = least(k.due_at, c.now),${LEASED('l.is_taken', '$6')}
  from locked l, clock c
  where k.id = l.id
  returning k.id, k.fence, k.execution, k.kind, k.step_key, l.is_taken, ${FLOW_COLUMNS}
),${NOTED(t, WAITS('woken'))}
select exists (select from locked) as active,
       x.status = 'active' and not exists (select from locked) as moved,
       exists (select from ${t.step} s where s.execution = x.id and s.state = 'pending' and s.event = $4) as waits,
       ${CLAIMED_COLUMNS}, ${READ_COLUMNS}, ${ARRIVED('messages')}
from target x
cross join clock c
left join (woken k join ${t.run} r on r.id = k.execution) on k.is_taken
left join lateral (${READ(t, '$8')}) l on true`,
};

/** Keeps an event for runs that wait later. A commit of its own, before the waiters are looked for. */
export const keepEvent: Statement = {
  name: 'workflow_keep_event',
  text: (t) => `
with ${CLOCK('$1')}
insert into ${t.message} (id, event, event_id, data, created_at, expires_at)
select $2::uuid, $3, $2::uuid, $4, c.now, c.now + $5::float8 * interval '1 ms' from clock c
on conflict (id) do nothing`,
};

/**
 * An event for every run that waits for it now: one message each, with an id that comes from event and run, so that a
 * repeated statement adds nothing. In order of task id; the waiters are found by workflow_step_waiting.
 * With a worker ($5) up to $7 runs of the queues that it serves ($6) are leased to it and read, as by a claim (see owned.ts).
 */
export const notifyWaiters: Statement = {
  name: 'workflow_notify_waiters',
  text: (t) => `
with ${CLOCK('$1')},
waiting as materialized (
  select distinct s.execution from ${t.step} s where s.state = 'pending' and s.event = $3 and s.event_id is null
),
locked as materialized (
  select k.id, k.execution, ${TAKEN('k', '$5', '$6')} as may_be_taken
  from ${t.task} k join waiting w using (execution)
  where k.step_key = ''
  order by k.id
  for update of k
),
told as materialized (
  select l.id, l.execution, l.may_be_taken and row_number() over (order by not l.may_be_taken, l.id) <= $7::int as is_taken from locked l
),
messages as (
  insert into ${t.message} (id, execution, event, event_id, data, created_at)
  select md5($2::text || l.execution)::uuid, l.execution, $3, $2::uuid, $4, c.now from locked l, clock c
  on conflict (id) do nothing
  returning *
),
woken as (
  update ${t.task} k set wanted = k.wanted + 1, due_at = least(k.due_at, c.now),${LEASED('n.is_taken', '$5')}
  from told n, clock c
  where k.id = n.id
  returning k.id, k.fence, k.execution, k.kind, k.step_key, n.is_taken, ${FLOW_COLUMNS}
),${NOTED(t, WAITS('woken'))}
select k.is_taken, ${CLAIMED_COLUMNS}, ${READ_COLUMNS}, ${ARRIVED('messages', 'k.is_taken')}
from woken k join ${t.run} r on r.id = k.execution
cross join clock c
left join lateral (${READ(t, 'case when k.is_taken then $8::int end')}) l on true
order by r.id`,
};

/**
 * Called after a wait has been committed: copies kept events of these names into the run's inbox. An event the run was given
 * before is left out, by the id its journal keeps. With a fence ($4) it gives back the lease under which the wait was committed.
 */
export const collectKept: Statement = {
  name: 'workflow_collect_kept',
  text: (t) => `
with ${CLOCK('$1')},
kept as materialized (
  select m.event, m.event_id, m.data, m.created_at
  from ${t.message} m, clock c
  where m.execution is null and m.event = any($3::text[]) and m.expires_at > c.now
    and not exists (select from ${t.step} s where s.execution = $2::bigint and s.event_id = m.event_id)
),
locked as materialized (
  select k.id, k.execution from ${t.task} k
  where k.execution = $2::bigint and k.step_key = '' and (exists (select from kept) or k.fence = $4::int)
  for update
),
messages as (
  insert into ${t.message} (id, execution, event, event_id, data, created_at)
  select md5(e.event_id::text || l.execution)::uuid, l.execution, e.event, e.event_id, e.data, e.created_at from kept e, locked l
  on conflict (id) do nothing
  returning id
),
woken as (
  update ${t.task} k
  set wanted = k.wanted + n.found,
      due_at = case when n.found > 0 then least(k.due_at, c.now) else k.due_at end,
      lease_owner = case when k.fence = $4::int then null else k.lease_owner end
  from locked l, clock c, (select count(*)::int as found from messages) n
  where k.id = l.id and (n.found > 0 or k.fence = $4::int)
  returning n.found > 0 or ($4::int is not null and k.due_at <= c.now) as due, ${FLOW_COLUMNS}
),${NOTED(t, GAVE_BACK('woken'))}
select coalesce(bool_or(due), false) as due from woken`,
};

/** Kept events that match, for every run that waits for them and has not been given them; adds nothing where they have been. */
const DELIVERY = (t: Tables, which: string, name: string): string => `
kept as materialized (
  select m.event, m.event_id, m.data, m.created_at
  from ${t.message} m, clock c
  where ${which} and m.execution is null and m.expires_at > c.now
),
waiting as materialized (
  select distinct s.execution, e.event, e.event_id, e.data, e.created_at
  from kept e join ${t.step} s on s.event = e.event and s.state = 'pending' and s.event_id is null
  where not exists (select from ${t.step} x where x.execution = s.execution and x.event_id = e.event_id)
),
locked as materialized (
  select k.id, k.execution
  from ${t.task} k
  where k.execution = any(array(select execution from waiting)) and k.step_key = ''
  order by k.id
  for update
),
messages as (
  insert into ${t.message} (id, execution, event, event_id, data, created_at)
  select md5(w.event_id::text || l.execution)::uuid, l.execution, w.event, w.event_id, w.data, w.created_at
  from waiting w join locked l using (execution)
  on conflict (id) do nothing
  returning execution
),
${name} as (
  update ${t.task} k set wanted = k.wanted + 1, due_at = least(k.due_at, c.now)
  from locked l, clock c
  where k.id = l.id and l.execution in (select execution from messages)
  returning k.id, ${FLOW_COLUMNS}
),${NOTED(t, WAITS(name))}`;

/**
 * The counterpart of `notifyWaiters` for an event that was kept in a transaction of the caller: called after its commit, for
 * the waits that were committed before it and had looked for kept events already.
 */
export const deliverKept: Statement = {
  name: 'workflow_deliver_kept',
  text: (t) => `
with ${CLOCK('$1')},${DELIVERY(t, 'm.id = $2::uuid', 'delivered')}
select id from delivered`,
};

/**
 * Deletes kept events that nobody may be given any more, and delivers those that their sender could not: the process died
 * between the caller's commit and `deliverKept`. Forgets flow-control keys that are no longer used. Also tells whether something is owed after an end (see settle.ts).
 */
export const expire: Statement = {
  name: 'workflow_expire',
  text: (t) => `
with ${CLOCK('$1')},
expired as (
  delete from ${t.message} m using clock c where m.execution is null and m.expires_at <= c.now
),${IDLE_KEYS(t)},${DELIVERY(t, 'true', 'delivered')}
select exists (select from delivered) as delivered,
       exists (select from ${t.run} r where r.unreported) or exists (select from ${t.run} r where r.uncascaded)
         or ${OWED_SINGLETONS(t)} as owed`,
};

/** Who waits for an event. */
export const waiters: Statement = {
  name: 'workflow_waiters',
  text: (t) => `
select r.run_id, r.workflow, s.key, ${toMs('s.asked_at')} as since, ${toMs('s.wake_at')} as timeout_at
from ${t.step} s join ${t.run} r on r.id = s.execution
where s.state = 'pending' and s.event = $1 and r.status = 'active'
order by s.asked_at, r.id`,
};
