import type { Tables } from '../tables.js';
import { CLOCK, IMPATIENT_CLOCK, PARKED, QUEUE, toMs, toTime, type Statement } from './statement.js';

/**
 * Inserts runs with their advance tasks, some already leased. A run id that is current already is left alone and not
 * returned; `existingRuns` reads it then. Ordered by run id, so that two batches meet in the same order on the unique index; but for
 * those that queue for a singleton key, which stand in line as they were given.
 * $12: all or none; a run that exists with another workflow or payload keeps all the others out. These belong to one caller,
 * and may be in his transaction: they wait for whoever is inserting one of the ids. Those of many callers do not.
 * A child is inserted only while its parent is active, whose advance task is locked for that: a cancel that comes first has
 * deleted the task, one that comes later finds the child.
 * A singleton that is skipped when its key is held ($23) is inserted as the holder or, by the unique index, not at all; one that
 * queues is parked until a hand-over (see singleton.ts).
 */
export const trigger: Statement = {
  name: 'workflow_trigger',
  text: (t) => `
with ${IMPATIENT_CLOCK('$1', `case when $12::boolean then current_setting('lock_timeout') else '500ms' end`)},
input as (
  select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                       $8::float8[], $9::float8[], $10::float8[], $11::uuid[], $13::bigint[], $14::text[], $15::smallint[], $16::boolean[],
                       $17::smallint[], $18::text[], $19::int[], $20::int[], $21::int[], $22::text[], $23::boolean[]) with ordinality
    as i(trigger_id, run_id, workflow, version, payload, labels, in_ms, at_ms, deadline_ms, owner, parent_id, parent_key, depth, cascades,
         priority, flow_key, parallelism, rate, period_ms, singleton_key, skips, n)
),
parents as materialized (
  select k.execution
  from ${t.task} k
  where (select c.now is not null from clock c) and k.execution = any($13::bigint[]) and k.step_key = ''
  order by k.id
  for share
),
refused as materialized (
  select from input i join ${t.run} r on r.run_id = i.run_id and r.is_current
  where $12::boolean and (r.workflow <> i.workflow or r.payload <> i.payload)
  limit 1
),
runs as (
  insert into ${t.run} (run_id, workflow, version, payload, labels, trigger_id, created_at, deadline_at, parent_id, parent_key, depth, cascades,
                      priority, flow_key, singleton_key, singleton_held)
  select i.run_id, i.workflow, i.version, i.payload, i.labels::text[], i.trigger_id, c.now, c.now + i.deadline_ms * interval '1 ms',
         i.parent_id, i.parent_key, coalesce(i.depth, 0), coalesce(i.cascades, true),
         i.priority, i.flow_key, i.singleton_key, coalesce(i.skips, false)
  from input i, clock c
  where not exists (select from refused) and (i.parent_id is null or i.parent_id in (select execution from parents))
  order by case when i.skips is false then i.n end nulls first, i.run_id
  on conflict do nothing
  returning id, trigger_id, deadline_at
),
tasks as (
  insert into ${t.task} (execution, workflow, kind, due_at, lease_owner, fence, priority, flow_key)
  select r.id, ${QUEUE('i.workflow', 'i.version')}, 'advance', coalesce(${toTime('i.at_ms')}, c.now + i.in_ms * interval '1 ms'),
         i.owner, case when i.owner is null then 0 else 1 end,
         case when i.skips is false then ${PARKED} else i.priority end, i.flow_key
  from runs r join input i using (trigger_id), clock c
  returning id, execution, lease_owner, fence, due_at
),
noted as (
  insert into ${t.flowNote} (flow_key, workflow, due_at, noted_at, frees, parallelism, rate, period_ms)
  select i.flow_key, ${QUEUE('i.workflow', 'i.version')}, min(k.due_at), min(c.now), false,
         (array_agg(i.parallelism order by i.n desc))[1], (array_agg(i.rate order by i.n desc))[1], (array_agg(i.period_ms order by i.n desc))[1]
  from tasks k join runs r on r.id = k.execution join input i using (trigger_id), clock c
  where i.flow_key is not null
  group by i.flow_key, ${QUEUE('i.workflow', 'i.version')}
)
select r.trigger_id, r.id as execution, k.id as task_id, k.lease_owner, k.fence, ${toMs('r.deadline_at')} as deadline_at, ${toMs('c.now')} as now
from runs r join tasks k on k.execution = r.id, clock c`,
};

/**
 * The hot half of `trigger`: runs of many callers without a parent, a flow-control key or a singleton key. One alone costs
 * the server 0.16 ms instead of 0.21; in batches of hundreds there is no difference.
 */
export const triggerLean: Statement = {
  name: 'workflow_trigger_lean',
  text: (t) => `
with ${IMPATIENT_CLOCK('$1')},
input as (
  select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                       $8::float8[], $9::float8[], $10::float8[], $11::uuid[], $12::smallint[])
    as i(trigger_id, run_id, workflow, version, payload, labels, in_ms, at_ms, deadline_ms, owner, priority)
),
runs as (
  insert into ${t.run} (run_id, workflow, version, payload, labels, trigger_id, created_at, deadline_at, depth, cascades, priority)
  select i.run_id, i.workflow, i.version, i.payload, i.labels::text[], i.trigger_id, c.now, c.now + i.deadline_ms * interval '1 ms',
         0, true, i.priority
  from input i, clock c
  order by i.run_id
  on conflict do nothing
  returning id, trigger_id, deadline_at
),
tasks as (
  insert into ${t.task} (execution, workflow, kind, due_at, lease_owner, fence, priority)
  select r.id, ${QUEUE('i.workflow', 'i.version')}, 'advance', coalesce(${toTime('i.at_ms')}, c.now + i.in_ms * interval '1 ms'),
         i.owner, case when i.owner is null then 0 else 1 end, i.priority
  from runs r join input i using (trigger_id), clock c
  returning id, execution, lease_owner, fence
)
select r.trigger_id, r.id as execution, k.id as task_id, k.lease_owner, k.fence, ${toMs('r.deadline_at')} as deadline_at, ${toMs('c.now')} as now
from runs r join tasks k on k.execution = r.id, clock c`,
};

/** That of `clock`, where a RETURNING cannot see it: the time of the transaction stands still. */
const NOW = `coalesce(${toTime('$1::float8')}, now())`;

/** One run with its task, without arrays: `parent` gives the columns of what invokes it, from one row of `from` or none. */
const one = (t: Tables, parent: string, from: string, parents = ''): string => `
with ${IMPATIENT_CLOCK('$1')},${parents}
runs as (
  insert into ${t.run} (run_id, workflow, version, payload, labels, trigger_id, created_at, deadline_at, priority,
                      parent_id, parent_key, depth, cascades)
  select $3::text, $4::text, $5::text, $6::text, $7::text[], $2::uuid, c.now, c.now + $10::float8 * interval '1 ms', $12::smallint,
         ${parent}
  from ${from}
  on conflict do nothing
  returning id, created_at
)
insert into ${t.task} as k (execution, workflow, kind, due_at, lease_owner, fence, priority)
select r.id, ${QUEUE('$4::text', '$5::text')}, 'advance',
       coalesce(${toTime('$9::float8')}, r.created_at + $8::float8 * interval '1 ms'),
       $11::uuid, case when $11::uuid is null then 0 else 1 end, $12::smallint
from runs r
returning $2::uuid as trigger_id, k.execution, k.id as task_id, k.lease_owner, k.fence,
          ${toMs(`${NOW} + $10::float8 * interval '1 ms'`)} as deadline_at, ${toMs(NOW)} as now`;

/** `triggerLean` for one run: see `commitOne`. */
export const triggerOne: Statement = {
  name: 'workflow_trigger_lean',
  text: (t) => one(t, 'null, null, 0, true', 'clock c'),
};

/** The same for one child, while its parent is active (see `trigger`). */
export const triggerChild: Statement = {
  name: 'workflow_trigger_lean',
  text: (t) =>
    one(
      t,
      'p.execution, $14::text, $15::smallint, $16::boolean',
      'clock c, parents p',
      `
parents as materialized (
  select k.execution
  from ${t.task} k
  where (select c.now is not null from clock c) and k.execution = $13::bigint and k.step_key = ''
  for share
),`,
    ),
};

/** The current runs with these ids, who holds them, and the holders of these singleton keys: what `trigger` did not insert. */
export const existingRuns: Statement = {
  name: 'workflow_existing_runs',
  text: (t) => `
with ${CLOCK('$1')}
select r.trigger_id, r.id as execution, r.run_id, r.workflow, r.version, r.payload, r.labels, r.attempt, r.depth,
       r.parent_id is not null as child, r.singleton_key, r.rollbacks, r.cancelling_at is not null as cancelling,
       r.status = 'active' and r.singleton_held as holds,
       ${toMs('r.created_at')} as created_at, ${toMs('r.deadline_at')} as deadline_at,
       k.id as task_id, k.lease_owner, k.fence, ${toMs('c.now')} as now
from ${t.run} r left join ${t.task} k on k.execution = r.id and k.step_key = '', clock c
where (r.run_id = any($2::text[]) and r.is_current)
   or (r.singleton_key = any($3::text[]) and r.status = 'active' and r.singleton_held)`,
};
