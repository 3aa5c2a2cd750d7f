import { CLOCK, IMPATIENT_CLOCK, toMs, toTime, type Statement } from './statement.js';

const SCHEDULE = `
  s.id, s.workflow, s.cron, s.every_ms::float8 as every_ms, s.timezone, s.overlap, s.catch_up, s.payload, s.labels, s.source,
  s.paused, s.revision, ${toMs('s.next_at')} as next_at, ${toMs('s.last_at')} as last_at, s.last_run_id,
  ${toMs('s.created_at')} as created_at, ${toMs('s.updated_at')} as updated_at`;

/** Those that this process looks at: its code makes the payloads of $3, and revisions in $4 it passes over for now. */
const OURS = `not s.paused and (s.payload is not null or s.id = any($3::text[])) and s.revision || '@' || s.id <> all($4::text[])`;

const PREVIOUS_ACTIVE = (t: { run: string }): string =>
  `exists (select from ${t.run} r where r.run_id = s.last_run_id and r.is_current and r.status = 'active')`;

/**
 * Schedules whose time has come, unlocked: what is decided on them is fenced by their revision. One that waits for the run of
 * the time before is left out, so that it stands in nobody's way. Served by workflow_schedule_due, workflow by workflow.
 */
export const dueSchedules: Statement = {
  name: 'workflow_due_schedules',
  text: (t) => `
with ${CLOCK('$1')},
picked as (
  select d.*
  from clock c
  cross join unnest($2::text[]) as w(name)
  cross join lateral (
    select s.*, s.overlap <> 'allow' and ${PREVIOUS_ACTIVE(t)} as previous_active
    from ${t.schedule} s
    where s.workflow = w.name and s.next_at <= c.now and ${OURS}
      and not (s.overlap = 'queue' and ${PREVIOUS_ACTIVE(t)})
    order by s.next_at, s.id
    limit $5::int
  ) d
  order by d.next_at, d.id
  limit $5::int
),
upcoming as (
  select min(d.next_at) as next_at
  from clock c
  cross join unnest($2::text[]) as w(name)
  cross join lateral (
    select s.next_at from ${t.schedule} s
    where s.workflow = w.name and s.next_at > c.now and ${OURS}
    order by s.next_at
    limit 1
  ) d
),
queued as (
  select from clock c, ${t.schedule} s
  where s.workflow = any($2::text[]) and s.next_at <= c.now and ${OURS} and s.overlap = 'queue' and ${PREVIOUS_ACTIVE(t)}
  limit 1
)
select ${toMs('c.now')} as clock, ${toMs('u.next_at')} as upcoming_at, exists (select from queued) as queued,
       s.previous_active, ${SCHEDULE}
from clock c cross join upcoming u left join picked s on true
order by s.next_at, s.id`,
};

/**
 * Moves schedules on, each from the revision that was decided on. Locked, not read: who comes second finds it locked, and later
 * with another revision. First statement of the transaction that inserts the runs; none of it waits long for a lock.
 */
export const moveSchedules: Statement = {
  name: 'workflow_move_schedules',
  text: (t) => `
with ${IMPATIENT_CLOCK('$1')},
locked as materialized (
  select s.id, i.next_ms, i.last_ms, i.last_run_id
  from clock c, ${t.schedule} s
  join unnest($2::text[], $3::int[], $4::float8[], $5::float8[], $6::text[]) as i(id, revision, next_ms, last_ms, last_run_id)
    on i.id = s.id and i.revision = s.revision
  where not s.paused
  order by s.id
  for update of s skip locked
)
update ${t.schedule} s
set next_at = ${toTime('l.next_ms')}, revision = s.revision + 1,
    last_at = coalesce(${toTime('l.last_ms')}, s.last_at), last_run_id = coalesce(l.last_run_id, s.last_run_id)
from locked l
where s.id = l.id
returning s.id`,
};

const TIMES_DIFFER = `(s.workflow, s.cron, s.every_ms, s.timezone)
  is distinct from (excluded.workflow, excluded.cron, excluded.every_ms, excluded.timezone)`;

/** In order of id, so that processes that boot together lock in the same order. */
export const putSchedules: Statement = {
  name: 'workflow_put_schedules',
  text: (t) => `
with ${CLOCK('$1')},
input as (
  select * from unnest($2::text[], $3::text[], $4::text[], $5::float8[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                       $11::text[], $12::float8[])
    as i(id, workflow, cron, every_ms, timezone, overlap, catch_up, payload, labels, source, next_ms)
)
insert into ${t.schedule} as s
  (id, workflow, cron, every_ms, timezone, overlap, catch_up, payload, labels, source, next_at, created_at, updated_at)
select i.id, i.workflow, i.cron, i.every_ms::bigint, i.timezone, i.overlap, i.catch_up, i.payload, i.labels::text[], i.source,
       ${toTime('i.next_ms')}, c.now, c.now
from input i, clock c
order by i.id
on conflict (id) do update
set workflow = excluded.workflow, cron = excluded.cron, every_ms = excluded.every_ms, timezone = excluded.timezone,
    overlap = excluded.overlap, catch_up = excluded.catch_up, payload = excluded.payload, labels = excluded.labels,
    source = excluded.source, updated_at = excluded.updated_at, revision = s.revision + 1,
    next_at = case when ${TIMES_DIFFER} then excluded.next_at else s.next_at end
where (excluded.source = 'code' or (s.source = 'client' and s.workflow = excluded.workflow))
  and ((s.overlap, s.catch_up, s.payload, s.labels, s.source)
    is distinct from (excluded.overlap, excluded.catch_up, excluded.payload, excluded.labels, excluded.source)
    or ${TIMES_DIFFER})
returning s.id`,
};

export const removeUndeclared: Statement = {
  name: 'workflow_remove_undeclared_schedules',
  text: (t) => `
delete from ${t.schedule} s
where s.source = 'code' and s.workflow = any($1::text[]) and s.id <> all($2::text[])
returning s.id`,
};

export const findSchedule: Statement = {
  name: 'workflow_find_schedule',
  text: (t) => `
with ${CLOCK('$1')}
select ${toMs('c.now')} as clock, ${SCHEDULE}
from clock c left join ${t.schedule} s on s.id = $2`,
};

export const listSchedules: Statement = {
  name: 'workflow_list_schedules',
  text: (t) => `
select ${SCHEDULE}
from ${t.schedule} s
where ($1::text is null or s.workflow = $1) and ($2::text is null or s.id > $2)
order by s.id
limit $3::int`,
};

export const pauseSchedule: Statement = {
  name: 'workflow_pause_schedule',
  text: (t) => `
with ${CLOCK('$1')}
update ${t.schedule} s
set paused = true, revision = s.revision + 1, updated_at = case when s.paused then s.updated_at else c.now end
from clock c
where s.id = $2
returning s.id`,
};

export const resumeSchedule: Statement = {
  name: 'workflow_resume_schedule',
  text: (t) => `
with ${CLOCK('$1')}
update ${t.schedule} s
set paused = false, revision = s.revision + 1, next_at = ${toTime('$4::float8')}, updated_at = c.now
from clock c
where s.id = $2 and s.revision = $3::int and s.paused
returning s.id`,
};

export const removeSchedule: Statement = {
  name: 'workflow_remove_schedule',
  text: (t) => `delete from ${t.schedule} where id = $1 returning id`,
};
