import { FLOW_COLUMNS, GAVE_BACK, GONE, NOTED, WAITS } from './flow-notes.js';
import { ADVANCED, ENTRIES, MOVED, OWES, RESULTS } from './commit-parts.js';
import { callQueue, QUEUE, IMPATIENT_CLOCK, toTime, type Statement } from './statement.js';

/** How an execution ends. `continued`: the run goes on as a new execution, inserted by the same statement. */
const ENDS = `('completed', 'failed', 'cancelled', 'continued')`;

/**
 * The durable flush of many activations. Locks first: the advance task of each, and every task of a run that ends, in order
 * of id, the order in which `answer`, `notify`, `cancel` and the sweep lock too. The lock returns the newest version of the
 * row, so the fence (and `turn`, where deliveries may come twice) is compared with what holds now; all else joins that. A
 * condition read from an unlocked snapshot would be no fence.
 *
 * `wanted` is compared on the locked row as well: what arrived since the load leaves the task due.
 * Repeated after a lost reply: rows that were journaled, answered or tried since are left alone, and no task comes back for
 * them; a suspended task is suspended again.
 * A run that goes on as a new execution takes its inbox along, of which this snapshot shows nothing that came since the load:
 * when `wanted` has grown it is left due instead, to be asked again.
 * Kept events that it was given stay with it as messages of kind `taken`, under the id that a copy for the new execution would
 * have: so no copy is made, and a loop does not get the same event in each round.
 * `listen` is `suspend` with the lease kept, until `collectKept` has looked for kept events.
 *
 * `is true` makes the look into `rows` a hashed one. As a join it is a nested loop, for no plan can know how many rows there are: with
 * 60 runs of 100 parallel steps in one flush that took 8 seconds.
 *
 * $2-$8 and $29-$30 commits, $9-$23 and $31-$32 journal rows, $24-$26 and $33-$37 new tasks of steps and calls, $27-$28
 * used-up messages. A call waits in a queue of its own (see `callQueue`). Tasks inherit the priority of their run, and (but for
 * calls) its flow-control key unless they have one of their own. $38: compensations, for the header. $39: the worker that executes the
 * step already, whose task is inserted as a claim would leave it.
 */
export const commit: Statement = {
  name: 'workflow_commit',
  text: (t) => `
with ${IMPATIENT_CLOCK('$1')},
input as (
  select * from unnest($2::bigint[], $3::int[], $4::bigint[], $5::int[], $6::int[], $7::text[], $8::text[], $29::float8[], $30::int[], $38::int[])
    as i(task_id, fence, execution, turn, wanted, next, data, due_ms, attempt, rollbacks)
),
locked as materialized (
  select k.id, k.fence, k.turn, k.wanted, k.workflow, k.priority, k.flow_key
  from ${t.task} k
  where (select c.now is not null from clock c)
    and (k.id = any($2::bigint[])
         or k.execution = any(array(select i.execution from input i where i.next in ${ENDS})))
  order by k.id
  for update
),
owned as materialized (
  select i.task_id, i.fence, i.execution, i.turn, i.wanted, i.attempt, i.rollbacks,
         case when s.late then 'suspend' else i.next end as next, case when not s.late then i.data end as data,
         case when not s.late then i.due_ms end as due_ms, l.wanted as wanted_now, l.workflow, l.priority, l.flow_key
  from input i join locked l on l.id = i.task_id and l.fence = i.fence and (i.turn is null or l.turn = i.turn)
  cross join lateral (select i.next = 'continued' and l.wanted > i.wanted as late) s
),
rows as (${ENTRIES(t)}
  from unnest($9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::int[], $15::text[], $16::text[], $17::int[],
              $18::float8[], $19::float8[], $20::float8[], $21::text[], $22::uuid[], $23::boolean[], $31::text[], $32::text[])
    as n(task_id, key, name, kind, state, position, value, failure, attempts, asked_at, finished_at, wake_at, event, event_id, dispatched, digest, request)
  join owned o using (task_id)${ADVANCED}
  returning s.execution, s.key, s.state
),
added as (
  select o.execution, case n.kind when 'call' then ${callQueue('o.workflow')} else o.workflow end as workflow, o.priority, n.kind,
         n.key, ${toTime('n.due_ms')} as due_at, coalesce(n.flow_key, case when n.kind <> 'call' then o.flow_key end) as flow_key,
         n.parallelism, n.rate, n.period_ms, n.owner, n.n
  from unnest($24::bigint[], $25::text[], $26::float8[], $33::text[], $34::text[], $35::int[], $36::int[], $37::int[], $39::uuid[]) with ordinality
    as n(task_id, key, due_ms, kind, flow_key, parallelism, rate, period_ms, owner, n)
  join owned o using (task_id)
  where ((o.execution, n.key) in (select r.execution, r.key from rows r)) is true
),
tasks as (
  insert into ${t.task} (execution, workflow, priority, kind, step_key, due_at, flow_key, lease_owner, fence)
  select a.execution, a.workflow, a.priority, a.kind, a.key, a.due_at, a.flow_key, a.owner, (a.owner is not null)::int
  from added a
  on conflict (execution, step_key) do nothing
),
limits as (
  insert into ${t.flowNote} (flow_key, workflow, due_at, noted_at, frees, parallelism, rate, period_ms)
  select a.flow_key, a.workflow, min(a.due_at), min(c.now), false, (array_agg(a.parallelism order by a.n desc))[1],
         (array_agg(a.rate order by a.n desc))[1], (array_agg(a.period_ms order by a.n desc))[1]
  from added a, clock c
  where a.flow_key is not null
  group by a.flow_key, a.workflow, num_nonnulls(a.parallelism, a.rate) > 0
),
messages as (
  delete from ${t.message} m
  using unnest($27::bigint[], $28::uuid[]) as n(task_id, id), owned o
  where m.id = n.id and o.task_id = n.task_id
),
taken as materialized (
  select o.execution, g.event_id
  from owned o cross join lateral (
    select s.event_id from ${t.step} s where s.execution = o.execution and s.event_id is not null
    union select n.event_id from unnest($9::bigint[], $22::uuid[]) as n(task_id, event_id) where n.task_id = o.task_id and n.event_id is not null
    union select m.event_id from ${t.message} m where m.execution = o.execution and m.kind = 'taken'
  ) g
  where o.next = 'continued'
),
inbox as (
  delete from ${t.message} m
  using owned o
  where m.execution = o.execution and o.next in ${ENDS} and m.id <> all($28::uuid[])
    and not (o.next = 'continued' and m.kind = 'event' and (m.execution, m.event_id) not in (select execution, event_id from taken))
),
runs as (
  update ${t.run} r
  set status = o.next, finished_at = c.now, ended_fence = o.fence,
      result = case when o.next = 'completed' then o.data end,
      error = case when o.next = 'failed' then o.data end,
      unreported = (${OWES}) and o.next <> 'continued', uncascaded = o.next = 'cancelled',
      is_current = r.is_current and o.next <> 'continued', cancelling_at = null
  from owned o, clock c
  where r.id = o.execution and o.next in ${ENDS}
  returning r.*
),
successors as (
  insert into ${t.run} (run_id, workflow, version, payload, labels, trigger_id, created_at, deadline_at, parent_id, parent_key, depth, cascades,
                      priority, flow_key, singleton_key, singleton_held)
  select r.run_id, r.workflow, r.version, o.data, r.labels, r.trigger_id, c.now, c.now + o.due_ms * interval '1 ms',
         r.parent_id, r.parent_key, r.depth, r.cascades, r.priority, r.flow_key, r.singleton_key, r.singleton_held
  from runs r join owned o on o.execution = r.id, clock c
  where o.next = 'continued'
  returning id, run_id, workflow, version, priority, flow_key
),
successions as (
  select r.id as execution, n.id as successor from runs r join successors n using (run_id)
),
carried as (
  update ${t.message} m set execution = n.successor
  from successions n
  where m.execution = n.execution and m.kind = 'event' and m.id <> all($28::uuid[])
    and (m.execution, m.event_id) not in (select execution, event_id from taken)
),
spared as (
  insert into ${t.message} (id, execution, kind, event, event_id, data, created_at)
  select md5(x.event_id::text || n.successor)::uuid, n.successor, 'taken', '', x.event_id, '', c.now
  from successions n join taken x using (execution) join ${t.message} e on e.id = x.event_id and e.execution is null, clock c
  where e.expires_at > c.now
  on conflict (id) do nothing
),
advances as (
  insert into ${t.task} as k (execution, workflow, kind, due_at, priority, flow_key)
  select n.id, ${QUEUE('n.workflow', 'n.version')}, 'advance', c.now, n.priority, n.flow_key from successors n, clock c
  returning ${FLOW_COLUMNS}
),
headers as (
  update ${t.run} r set attempt = coalesce(o.attempt, r.attempt), rollbacks = greatest(r.rollbacks, o.rollbacks)
  from owned o
  where r.id = o.execution and num_nonnulls(o.attempt, o.rollbacks) > 0 and o.next in ('continue', 'suspend', 'listen')
),
gone as (
  delete from ${t.task} k
  using owned o
  where k.execution = o.execution and o.next in ${ENDS}
  returning ${FLOW_COLUMNS}
),
suspended as (${MOVED(t)}
  returning ${FLOW_COLUMNS}
),${NOTED(t, GONE('gone'), GAVE_BACK('suspended'), WAITS('advances'))}${RESULTS}`,
};

/** How these executions have ended, and under which fence: tells a repeated end from a lost lease. */
export const endedUnder: Statement = {
  name: 'workflow_ended_under',
  text: (t) => `
select id as execution, ended_fence, status, coalesce(result, error) as data
from ${t.run}
where id = any($1::bigint[]) and status <> 'active'`,
};
