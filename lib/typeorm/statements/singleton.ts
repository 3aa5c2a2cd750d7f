import type { Tables } from '../tables.js';
import { FLOW_COLUMNS, NOTED, WAITS } from './flow-notes.js';
import { CANCEL } from './run.js';
import { CLOCK, type Statement } from './statement.js';

/**
 * Runs that replace others take their turns: the lock is held until their transaction ends, and taken in the order of the keys. In
 * a statement of its own, so that the next one sees what the one before has done.
 */
export const lockSingletons: Statement = {
  name: 'workflow_lock_singletons',
  text: () => `
select pg_advisory_xact_lock(hashtextextended(k.key, 7301834))
from (select distinct i.key from unnest($1::text[]) as i(key) order by i.key offset 0) k`,
};

/** Cancels all runs of these keys but the one that replaces them. */
export const cancelSingletons: Statement = {
  name: 'workflow_cancel_singletons',
  text: (t) =>
    CANCEL(
      t,
      `
  select r.id from ${t.run} r join unnest($2::text[], $3::bigint[]) as i(key, execution) on r.singleton_key = i.key and r.id <> i.execution
  where r.status = 'active' and r.cancelling_at is null`,
    ),
};

/** Keys for which runs wait, one index probe each. */
const QUEUED = (t: Tables): string => `
queued(key) as (
  (select r.singleton_key from ${t.run} r
   where r.status = 'active' and r.singleton_key is not null and not r.singleton_held
   order by r.singleton_key
   limit 1)
  union all
  select n.singleton_key
  from queued q
  cross join lateral (
    select r.singleton_key from ${t.run} r
    where r.status = 'active' and r.singleton_key > q.key and not r.singleton_held
    order by r.singleton_key
    limit 1
  ) n
)`;

/** A run holds the key of \`k\`. */
const HELD = (t: Tables): string => `
exists (select from ${t.run} h where h.singleton_key = k.key and h.status = 'active' and h.singleton_held)`;

/**
 * Makes the oldest run that waits for a key its holder, where nobody holds it: its task is no longer parked. Of these keys, or
 * (null) of all. Two holders are impossible by the unique index, whoever looks at the same time; a run that was cancelled
 * meanwhile has no task, and the next look finds the one behind it.
 */
export const handOver: Statement = {
  name: 'workflow_hand_over',
  text: (t) => `
with recursive ${CLOCK('$1')},${QUEUED(t)},
keys(key) as (
  select distinct i.key from unnest($2::text[]) as i(key)
  union all
  select q.key from queued q where $2::text[] is null
),
next as materialized (
  select f.id
  from keys k
  cross join lateral (
    select r.id from ${t.run} r
    where r.status = 'active' and r.singleton_key = k.key and not r.singleton_held
    order by r.id
    limit 1
  ) f
  where not ${HELD(t)}
),
locked as materialized (
  select k.id, k.execution from ${t.task} k
  where k.execution = any(array(select id from next)) and k.step_key = ''
  order by k.id
  for update
),
held as (
  update ${t.run} r set singleton_held = true
  from locked l
  where r.id = l.execution and r.status = 'active' and not r.singleton_held
  returning r.id, r.priority
),
started as (
  update ${t.task} k set priority = h.priority
  from held h
  where k.execution = h.id and k.step_key = ''
  returning k.execution, ${FLOW_COLUMNS}
),${NOTED(t, WAITS('started'))}
select execution from started`,
};

/** True while a run waits for a key that nobody holds. */
export const OWED_SINGLETONS = (t: Tables): string => `exists (
  with recursive ${QUEUED(t)}
  select from queued k where not ${HELD(t)}
)`;
