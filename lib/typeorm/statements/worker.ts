import { FLOW_COLUMNS, GAVE_BACK, NOTED } from './flow-notes.js';
import type { Tables } from '../tables.js';
import { CLOCK, type Statement } from './statement.js';

export const register: Statement = {
  name: 'workflow_register',
  text: (t) => `
insert into ${t.worker} (id, host, pid, serves) values ($1::uuid, $2, $3, $4::text[])
on conflict (id) do update set beat_at = now(), serves = excluded.serves`,
};

/** One beat for all leases of a process. Always the database's own clock: a test that moves time kills nobody. */
export const beat: Statement = {
  name: 'workflow_beat',
  text: (t) => `
with me as (
  update ${t.worker} set beat_at = now() where id = $1::uuid returning id
)
select 'alive' as tag, null::bigint as task_id, null::int as fence from me
union all
select 'leased', k.id, k.fence from ${t.task} k where k.lease_owner = $1::uuid
union all
select 'valid', k.id, k.fence
from unnest($2::bigint[], $3::int[]) as i(task_id, fence) join ${t.task} k on k.id = i.task_id and k.fence = i.fence`,
};

/** A beat and nothing else, by the thread that stands in for the main one. It changes no row when the others have presumed us dead. */
export const stillAlive: Statement = {
  name: 'workflow_still_alive',
  text: (t) => `update ${t.worker} set beat_at = now() where id = $1::uuid`,
};

/** A worker that stops gives back what it still holds, due at once: nobody has to find out that it is gone. */
export const unregister: Statement = {
  name: 'workflow_unregister',
  text: (t) => `
with clock as materialized (select now() as now),
held as materialized (
  select k.id from ${t.task} k where k.lease_owner = $1::uuid order by k.id for update
),
freed as (
  update ${t.task} k
  set lease_owner = null, fence = k.fence + 1, turn = 0, due_at = least(k.due_at, c.now)
  from held h, clock c
  where k.id = h.id
  returning ${FLOW_COLUMNS}
),${NOTED(t, GAVE_BACK('freed'))}
delete from ${t.worker} where id = $1::uuid`,
};

/** A worker that has not beaten for so many ms. */
const SILENT = (beatAt: string, timeout: string): string =>
  `${beatAt} < now() - ${timeout}::float8 * interval '1 ms'`;

/** Held by a worker that is silent, or not registered. */
const ABANDONED = (t: Tables, worker: string, timeout: string): string => `
  ${t.task} k left join ${t.worker} w on w.id = k.lease_owner
  where k.lease_owner is not null and k.lease_owner <> ${worker}::uuid
    and (w.id is null or ${SILENT('w.beat_at', timeout)})`;

/**
 * Whether there is anything to sweep. In tables that have grown faster than they are analyzed the planner takes `sweep` for so dear that
 * it is compiled (`jit_above_cost`): 450 ms of the server's processor every few seconds, to find nothing.
 */
export const anythingToSweep: Statement = {
  name: 'workflow_sweep_look',
  text: (t) => `
select exists (select from ${ABANDONED(t, '$1', '$2')})
    or exists (select from ${t.worker} where id <> $1::uuid and ${SILENT('beat_at', '$2')}) as found`,
};

/**
 * Frees what silent workers hold, and what is leased to a worker that is not registered (a claim that committed after its
 * worker was swept). `lost` counts losses without progress: it starts over when the journal has grown since the last one.
 * It keeps its due time, and so its place before what has become due since: who has waited for a dead process waits no longer.
 * Rows that somebody is writing are skipped: their owner lives.
 */
export const sweep: Statement = {
  name: 'workflow_sweep',
  text: (t) => `
with ${CLOCK('$1')},
dead as materialized (
  select k.id, k.execution
  from ${ABANDONED(t, '$2', '$3')}
  order by k.id
  for update of k skip locked
),
progress as materialized (
  select d.id, coalesce((select max(s.position) from ${t.step} s where s.execution = d.execution), 0) as position
  from dead d
),
workers as (
  delete from ${t.worker} where id <> $2::uuid and ${SILENT('beat_at', '$3')}
),
freed as (
  update ${t.task} k
  set lease_owner = null, fence = k.fence + 1, turn = 0, due_at = least(k.due_at, c.now),
      lost = case when p.position > k.lost_position then 1 else k.lost + 1 end,
      lost_position = p.position
  from progress p, clock c
  where k.id = p.id
  returning k.id, ${FLOW_COLUMNS}
),${NOTED(t, GAVE_BACK('freed'))}
select id from freed`,
};
