import type { Tables } from '../tables.js';
import { CLOCK, STEP_COLUMNS, toMs, type Statement } from './statement.js';

/** The columns of a union are named by its first part. */
const NO_STEP = `null::text as key, null::text as name, null::text as kind, null::text as state, null::int as position,
  null::text as value, null::text as failure, null::int as attempts, null::float8 as asked_at, null::float8 as finished_at,
  null::float8 as wake_at, null::text as event, null::uuid as event_id, null::boolean as dispatched, null::text as digest,
  null::text as request`;

/** What a load gives of a run `r` beside its payload, at the time `c.now`; `l` is its task. */
export const RUN_HEAD = (
  t: Tables,
  l: string,
  turn: string,
): string => `json_build_object('execution', r.id::text, 'runId', r.run_id, 'workflow', r.workflow, 'version', r.version,
         'labels', r.labels, 'attempt', r.attempt, 'createdAt', ${toMs('r.created_at')}, 'deadlineAt', ${toMs('r.deadline_at')},
         'depth', r.depth, 'child', r.parent_id is not null, 'rollbacks', r.rollbacks,
         'cancelling', r.cancelling_at is not null, 'singleton', r.singleton_key,
         'keyed', r.flow_key is not null,
         'paced', r.flow_key is not null and exists (select from ${t.flow} f where f.key = r.flow_key and f.rate is not null),
         'step', nullif(${l}.step_key, ''), 'wanted', ${l}.wanted, 'turn', ${turn}, 'gather', ${l}.gather, 'lost', ${l}.lost, 'now', ${toMs('c.now')})`;

/** The same of a message `m` beside its data. */
export const MESSAGE_HEAD = `json_build_object('id', m.id, 'kind', m.kind, 'key', m.key, 'event', m.event, 'eventId', m.event_id, 'createdAt', ${toMs('m.created_at')})`;

/**
 * Everything of many runs beyond a known position, in one snapshot: header, journal, inbox. `wanted` is read together with
 * the inbox, so an arrival is either in this answer or counted later. A step task gets the journal and its own row only; a
 * call, which no code is replayed for, also whether the run has failed (`@failure`), wherever its position.
 * Rows carry the number of their request: a lost lease and the present one of a task may come in one batch.
 * Served by the primary keys of task, run and step and by workflow_message_inbox.
 */
export const load: Statement = {
  name: 'workflow_load',
  text: (t) => `
with ${CLOCK('$1')},
leased as materialized (
  select i.request::int, k.execution, k.kind, k.step_key, k.wanted, k.turn, k.gather, k.lost, i.position
  from unnest($2::bigint[], $3::int[], $4::int[]) with ordinality as i(task_id, fence, position, request)
  join ${t.task} k on k.id = i.task_id and k.fence = i.fence
  join ${t.run} r on r.id = k.execution and r.status = 'active'
)
select 'run' as tag, l.request as item,
       ${RUN_HEAD(t, 'l', 'l.turn')}::text as head,
       r.payload as data, ${NO_STEP}
from leased l join ${t.run} r on r.id = l.execution, clock c
union all
select 'step', l.request, null, null, ${STEP_COLUMNS}
from leased l join ${t.step} s on s.execution = l.execution
where case when s.state = 'journaled' then s.position > l.position or (l.kind = 'call' and s.key = '@failure') else l.kind = 'advance' or s.key = l.step_key end
union all
select 'message', l.request,
       ${MESSAGE_HEAD}::text,
       m.data, ${NO_STEP}
from leased l join ${t.message} m on m.execution = l.execution
where l.kind = 'advance' and m.kind <> 'taken'`,
};
