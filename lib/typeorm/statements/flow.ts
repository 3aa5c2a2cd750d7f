import type { Tables } from '../tables.js';
import { CLAIMED_COLUMNS } from './owned.js';
import { CLOCK, PARKED, toMs, toTime, type Statement } from './statement.js';

/** A process that stands still between the two statements of a claim must not keep its keys from the others. */
const NO_STANDSTILL = `set_config('idle_in_transaction_session_timeout', '5000', true)`;

/** Most notes that one claim merges. */
export const NOTES_AT_ONCE = 10_000;

/**
 * First half of a claim in the lines of flow-control keys: merges what was noted, and locks the keys that may be served, those
 * that have waited longest for their turn first. A key that is paused, full or has used up its rate is not looked at,
 * however many wait behind it. The keys are merged in their order, which is the only time that a claim waits for another.
 */
export const flowKeys: Statement = {
  name: 'workflow_flow_keys',
  text: (t) => `
with clock as materialized (
  select coalesce(${toTime('$1::float8')}, clock_timestamp()) as now, ${NO_STANDSTILL}
),
taken as (
  delete from ${t.flowNote} n
  where n.ctid = any(array(
    select i.ctid from ${t.flowNote} i
    where (select c.now is not null from clock c) and i.noted_at >= coalesce(${toTime('$2::float8')}, '-infinity')
    order by i.noted_at, i.id
    limit ${NOTES_AT_ONCE}
    for update skip locked
  ))
  returning n.*
),
news as (
  select n.flow_key as key, min(n.due_at) as head_at, bool_or(n.frees) as frees,
         case when count(distinct n.workflow) filter (where n.due_at < 'infinity') > 1 then ''
              else coalesce(min(n.workflow) filter (where n.due_at < 'infinity'), min(n.workflow)) end as workflow
  from taken n
  group by n.flow_key
),
limits as (
  select distinct on (n.flow_key) n.flow_key as key, n.parallelism, n.rate, n.period_ms
  from taken n
  where num_nonnulls(n.parallelism, n.rate) > 0
  order by n.flow_key, n.noted_at desc, n.id desc
),
merged as (
  insert into ${t.flow} as f (key, workflow, parallelism, rate, period_ms, paused, is_full, head_at, blocked_until, served_at,
                         ready_at, window_ends, window_counts)
  -- both times are past for a new row; for one that exists, the first says that a lease has come back
  select n.key, n.workflow, l.parallelism, l.rate, l.period_ms, false, false, n.head_at,
         case when n.frees then '-infinity' else 'epoch'::timestamptz end, '-infinity', n.head_at, '{}', '{}'
  from news n left join limits l using (key)
  order by n.key
  on conflict (key) do update
  set workflow = case when excluded.head_at = 'infinity' then f.workflow
                      when f.head_at = 'infinity' or f.workflow = excluded.workflow then excluded.workflow
                      else '' end,
      parallelism = case when num_nonnulls(excluded.parallelism, excluded.rate) > 0 then excluded.parallelism else f.parallelism end,
      rate = case when num_nonnulls(excluded.parallelism, excluded.rate) > 0 then excluded.rate else f.rate end,
      period_ms = case when num_nonnulls(excluded.parallelism, excluded.rate) > 0 then excluded.period_ms else f.period_ms end,
      -- a task that begins to wait frees nothing: a full line is not looked at for it
      is_full = f.is_full and excluded.blocked_until > '-infinity'
        and (num_nonnulls(excluded.parallelism, excluded.rate) = 0 or f.parallelism is not distinct from excluded.parallelism),
      head_at = least(f.head_at, excluded.head_at),
      blocked_until = ${UNBLOCKED},
      ready_at = greatest(least(f.head_at, excluded.head_at), ${UNBLOCKED}, f.served_at)
  returning f.key, f.workflow, f.ready_at, f.paused, f.is_full
),
others as (
  select o.key, o.ready_at
  from clock c
  cross join unnest($3::text[] || ''::text) as w(name)
  cross join lateral (
    select f.key, f.ready_at
    from ${t.flow} f
    where f.workflow = w.name and not f.paused and not f.is_full and f.ready_at <= c.now
      and f.key <> all(array(select key from merged))
    order by f.ready_at
    limit $4
    for update skip locked
  ) o
)
select array(
         select s.key from (
           select m.key, m.ready_at from merged m, clock c
           where not m.paused and not m.is_full and m.ready_at <= c.now and (m.workflow = '' or m.workflow = any($3::text[]))
           union all
           select o.key, o.ready_at from others o
         ) s
         order by s.ready_at, s.key
         limit $4
       ) as keys,
       (select count(*)::int from taken) as notes`,
};

/** Other limits for the rate: the window is looked at anew. */
const UNBLOCKED = `case when num_nonnulls(excluded.parallelism, excluded.rate) > 0
                  and (f.rate, f.period_ms) is distinct from (excluded.rate, excluded.period_ms) then '-infinity' else f.blocked_until end`;

/**
 * Second half, in the same transaction: a statement of its own, as its snapshot must be later than the locks. It sees every
 * lease that others have taken of these keys, and (with its note) everything that has begun to wait. Slots are what is not
 * leased; starts are counted in buckets of a 64th of the period, each until a whole period after its end, so that no window
 * of that length has more, wherever it begins. The keys take turns: each gives its first, then each its second.
 * head_at is the floor of the scan, past the dead entries of what was claimed before.
 */
export const claimFlow: Statement = {
  name: 'workflow_claim_flow',
  text: (t) => `
with recursive clock as materialized (select coalesce(${toTime('$1::float8')}, clock_timestamp()) as now),
flow as materialized (
  select f.key, f.workflow, f.parallelism, f.rate, f.period_ms * interval '1 ms' as period, f.head_at, f.ready_at, f.served_at,
         f.window_ends, f.window_counts, h.held,
         greatest(0, least(f.parallelism - h.held, f.rate - u.used, $6::int + $7::int)) as free
  from ${t.flow} f
  cross join clock c
  cross join lateral (
    select count(*)::int as held from ${t.task} k
    where k.flow_key = f.key and k.lease_owner is not null and f.parallelism is not null
  ) h
  cross join lateral (
    select coalesce(sum(s.starts), 0)::int as used from unnest(f.window_ends, f.window_counts) as s(ends, starts)
    where s.ends + f.period_ms * interval '1 ms' > c.now
  ) u
  where f.key = any($5::text[])
),
lines(key, workflow, priority) as (
  select f.key, l.workflow, l.priority
  from flow f
  cross join lateral (
    select k.workflow, k.priority from ${t.task} k
    where k.flow_key = f.key and k.lease_owner is null
    order by k.workflow, k.priority
    limit 1
  ) l
  union all
  select p.key, l.workflow, l.priority
  from lines p
  cross join lateral (
    select k.workflow, k.priority from ${t.task} k
    where k.flow_key = p.key and k.lease_owner is null and (k.workflow, k.priority) > (p.workflow, p.priority)
    order by k.workflow, k.priority
    limit 1
  ) l
),
candidates as materialized (
  select l.key, l.priority, d.id, d.due_at, d.kind, f.free, f.ready_at, f.served_at
  from lines l
  join flow f using (key)
  join unnest($3::text[], $4::int[]) as w(name, places) on w.name = l.workflow
  cross join clock c
  cross join lateral (
    select k.id, k.due_at, k.kind from ${t.task} k
    where k.flow_key = l.key and k.lease_owner is null and k.workflow = l.workflow and k.priority = l.priority
      and k.due_at >= f.head_at and k.due_at <= c.now
    order by k.due_at
    limit least(f.free, ceil(2.0 * w.places / cardinality($5::text[])))
  ) d
  where f.free > 0 and l.priority < ${PARKED}
),
ranked as (
  select d.*, row_number() over (partition by d.key order by d.priority, d.due_at, d.id) as turn from candidates d
),
chosen as (
  (select r.id from ranked r where r.turn <= r.free and r.kind <> 'call' order by r.turn, r.ready_at, r.served_at, r.key limit $6)
  union all
  (select r.id from ranked r where r.turn <= r.free and r.kind = 'call' order by r.turn, r.ready_at, r.served_at, r.key limit $7)
),
locked as materialized (
  select k.id from ${t.task} k
  where k.id = any(array(select id from chosen)) and k.lease_owner is null
  for update skip locked
),
claimed as (
  update ${t.task} k
  set lease_owner = $2::uuid, fence = k.fence + 1, turn = 0
  where k.id = any(array(select id from locked))
  returning k.id, k.fence, k.execution, k.kind, k.step_key, k.flow_key
),
heads as (
  select l.key, min(d.due_at) as head_at, case when min(l.workflow) = max(l.workflow) then min(l.workflow) else '' end as workflow
  from lines l
  join flow f using (key)
  cross join lateral (
    select k.due_at from ${t.task} k
    where k.flow_key = l.key and k.lease_owner is null and k.workflow = l.workflow and k.priority = l.priority
      and k.due_at >= f.head_at and k.due_at < 'infinity' and k.id <> all(array(select id from locked))
    order by k.due_at
    limit 1
  ) d
  where l.priority < ${PARKED}
  group by l.key
),
served as materialized (
  -- the time when the leases are taken, not that of the snapshot: no start lies behind the end of its bucket
  select f.*, coalesce(${toTime('$1::float8')}, clock_timestamp()) as now, n.starts, coalesce(h.head_at, 'infinity') as next_head, coalesce(h.workflow, f.workflow) as queue
  from flow f
  cross join lateral (select count(*)::int as starts from claimed x where x.flow_key = f.key) n
  left join heads h using (key)
),
windows as (
  select s.key, array_agg(b.ends order by b.ends) as ends, array_agg(b.starts order by b.ends) as counts,
         min(b.ends + s.period) filter (where b.total - b.gone < s.rate) as free_at, max(b.total) >= s.rate as used_up
  from served s
  cross join lateral (
    select a.ends, a.starts, sum(a.starts) over (order by a.ends) as gone, sum(a.starts) over () as total
    from (
      select e.ends, sum(e.starts)::int as starts
      from (
        select w.ends, w.starts from unnest(s.window_ends, s.window_counts) as w(ends, starts) where w.ends + s.period > s.now
        union all
        select ${bucketEnd('s.now', 's.period')}, s.starts where s.starts > 0
      ) e
      group by e.ends
    ) a
  ) b
  where s.rate is not null
  group by s.key, s.rate
),
updated as (
  update ${t.flow} f
  set head_at = s.next_head, workflow = s.queue, served_at = s.now,
      is_full = s.parallelism is not null and s.held + s.starts >= s.parallelism,
      window_ends = coalesce(w.ends, '{}'), window_counts = coalesce(w.counts, '{}'),
      blocked_until = case when w.used_up then w.free_at else '-infinity' end,
      ready_at = greatest(s.next_head, s.now, case when w.used_up then w.free_at end)
  from served s left join windows w using (key)
  where f.key = s.key
)
select ${toMs('c.now')} as now, null::float8 as next_due_at, ${CLAIMED_COLUMNS}
from clock c
left join (claimed k join ${t.run} r on r.id = k.execution) on true`,
};

/** Of the bucket that `now` falls into: never before it. */
function bucketEnd(now: string, period: string): string {
  const width = `(extract(epoch from ${period}) / 64)`;
  return `greatest(${now}, to_timestamp((ceil(extract(epoch from ${now}) / ${width}) * ${width})::float8))`;
}

/** While it is paused nothing of the key starts; also of one that nobody has used yet. */
export const pauseFlow: Statement = {
  name: 'workflow_pause_flow',
  text: (t) => `
insert into ${t.flow} (key, workflow, paused, is_full, head_at, blocked_until, served_at, ready_at, window_ends, window_counts)
values ($1, '', true, false, 'infinity', '-infinity', '-infinity', 'infinity', '{}', '{}')
on conflict (key) do update set paused = true`,
};

export const resumeFlow: Statement = {
  name: 'workflow_resume_flow',
  text: (t) => `update ${t.flow} set paused = false where key = $1 and paused returning key`,
};

/** Keys as they stand, in their order, after $3. Counts what waits. */
export const flowStates: Statement = {
  name: 'workflow_flow_states',
  text: (t) => `
with ${CLOCK('$1')}
select f.key, f.parallelism, f.rate, f.period_ms, f.paused,
       (select count(*)::int from ${t.task} k where k.flow_key = f.key and k.lease_owner is not null) as running,
       (select count(*)::int from ${t.task} k where k.flow_key = f.key and k.lease_owner is null and k.due_at <= c.now
          and k.priority < ${PARKED}) as waiting,
       (select coalesce(sum(s.starts), 0)::int from unnest(f.window_ends, f.window_counts) as s(ends, starts)
        where s.ends + f.period_ms * interval '1 ms' > c.now) as started
from ${t.flow} f, clock c
where ($2::text is null or f.key = $2) and ($3::text is null or f.key > $3)
order by f.key
limit $4`,
};

/**
 * Forgets keys without tasks. One that a claim has looked at within the last minute stays, by its row as it is under the lock:
 * what was triggered since the snapshot was either merged into the row (it has a head), or claimed just now, or its note, with
 * its limits, is yet to be merged.
 */
export const IDLE_KEYS = (t: Tables): string => `
idle as materialized (
  select f.key from ${t.flow} f, clock c
  where f.head_at = 'infinity' and not f.paused
    and f.served_at < c.now - interval '1 minute' - coalesce(f.period_ms, 0) * interval '1 ms'
    and not exists (select from ${t.task} k where k.flow_key = f.key and k.lease_owner is null)
    and not exists (select from ${t.task} k where k.flow_key = f.key and k.lease_owner is not null)
  order by f.served_at
  limit 500
  for update of f skip locked
),
forgotten as (
  delete from ${t.flow} f using idle i where f.key = i.key
)`;
