import type { Tables } from '../tables.js';
import { toTime } from './statement.js';

/** What the general and the lean commits have in common: one rule for the journal, one for a task that goes on or is suspended. */

/**
 * The locks of many commits ($2): read the clock before any lock, and lock in order of id. The generic plan of a join with an unnest of
 * unknown length would read the whole table.
 */
export const LOCKED = (t: Tables): string => `
locked as materialized (
  select k.id, k.fence, k.turn, k.wanted
  from ${t.task} k
  where (select c.now is not null from clock c) and k.id = any($2::bigint[])
  order by k.id
  for update
)`;

/** Inserts rows `n` for the commits `o` that own their runs; where they come from and `ADVANCED` follow. */
export const ENTRIES = (t: Tables): string => `
  insert into ${t.step} as s (execution, key, name, kind, state, position, value, failure, attempts, asked_at, finished_at, wake_at,
                         event, event_id, dispatched, digest, request)
  select o.execution, n.key, n.name, n.kind, n.state, n.position, n.value, n.failure, n.attempts, ${toTime('n.asked_at')},
         ${toTime('n.finished_at')}, ${toTime('n.wake_at')}, n.event, n.event_id, n.dispatched, n.digest, n.request`;

/** A row only ever moves towards a fact: what was journaled, answered or tried since is left alone. */
export const ADVANCED = `
  on conflict (execution, key) do update
    set state = excluded.state, position = excluded.position, value = excluded.value, failure = excluded.failure,
        attempts = excluded.attempts, finished_at = excluded.finished_at, wake_at = excluded.wake_at,
        event_id = excluded.event_id, dispatched = excluded.dispatched, request = excluded.request
    where (s.state = 'pending' and s.attempts <= excluded.attempts) or (s.state = 'answered' and excluded.state = 'journaled')`;

/** The advance tasks `k` of commits `o` that do not end: given back (`suspend`), or kept with another turn. */
export const MOVED = (t: Tables): string => `
  update ${t.task} k
  set lease_owner = case when o.next <> 'suspend' then k.lease_owner end,
      turn = k.turn + 1,
      lost = case when o.next = 'continue' then k.lost else 0 end,
      stuck = case when o.next <> 'continue' then o.data end,
      due_at = case when o.next = 'continue' then k.due_at
                    when k.wanted > o.wanted then least(c.now, coalesce(${toTime('o.due_ms')}, 'infinity'))
                    else coalesce(${toTime('o.due_ms')}, 'infinity') end
  from owned o, clock c
  where k.id = o.task_id and (o.next in ('suspend', 'listen') or (o.next = 'continue' and o.turn is not null))`;

/**
 * Whether the end of run `r` by commit `o` marks it `unreported`: a parent is to be told, or something may be left in its inbox. The
 * end deletes what its snapshot shows, which may be older than the lock that it waited for: a message committed in between has raised
 * `wanted` on the locked row and is not in the snapshot. That `wanted` has grown since the load is true of more ends than these: to ask the
 * snapshot as well would cost every end, the mark costs only such a one. What pays it (settle.ts) sees the mark in its own snapshot, and so
 * every message there was; none comes after the end, for the task is gone.
 */
export const OWES = `r.parent_id is not null or o.wanted_now > o.wanted`;

/** What each commit comes to, for those whose lease holds. */
export const RESULTS = `
select o.task_id, o.fence, o.next in ('suspend', 'listen') and o.wanted_now > o.wanted as due
from owned o`;
