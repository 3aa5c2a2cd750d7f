import type { Tables } from '../tables.js';
import { MESSAGE_HEAD, RUN_HEAD } from './load.js';
import { PARKED, STEP_COLUMNS } from './statement.js';

/** What the statements have in common that lease tasks `k`, with their runs `r`, and read them at once. */
export const CLAIMED_COLUMNS = `
  k.id as task_id, k.fence, k.execution, k.kind, k.step_key, k.flow_key is not null as flow, r.workflow, r.run_id, r.version`;

/** What `READ` gives, as `l`. */
export const READ_COLUMNS = 'l.head, l.payload, l.steps, l.inbox';

/**
 * What a load would read of a run that is advanced, where its journal is no longer than so many rows: one statement fewer for each
 * that wakes. From the snapshot, as is the journal: \`wanted\` of the locked row could count a message that is not in this inbox.
 * Where the row was leased between snapshot and lock, or given back by who held it, the journal is older than that: then it is left
 * to a load. `offset 0` and `case` keep the planner from reading first and asking afterwards: without them the whole journal was
 * aggregated for each claimed step (265 ms for 300 of them, 6 with).
 */
export const READ = (t: Tables, rows: string): string => `
  select case when s.is_read then ${RUN_HEAD(t, 's', '0')}::text end as head, case when s.is_read then r.payload end as payload,
         case when s.is_read then
           (select json_agg(j)::text from (select ${STEP_COLUMNS} from ${t.step} s where s.execution = k.execution) j)
         end as steps,
         case when s.is_read then
           (select json_agg(json_build_object('head', ${MESSAGE_HEAD}, 'data', m.data))::text
            from ${t.message} m where m.execution = k.execution and m.kind <> 'taken')
         end as inbox
  from (
    select s.step_key, s.wanted, s.gather, s.lost,
           s.fence = k.fence - 1 and s.lease_owner is null and r.status = 'active'
             and (select count(*) from (select from ${t.step} s where s.execution = k.execution limit ${rows}::int + 1) n) <= ${rows}::int as is_read
    from ${t.task} s
    where ${rows}::int > 0 and k.kind = 'advance' and s.id = k.id
    offset 0
  ) s`;

/**
 * A task `k` that the statement which wakes it may lease at once to the worker $owner, for whom a claim in these queues could find
 * it as well: nobody holds it, it stands in no line, and waits for no singleton key. The next fence, as a claim: asked of the locked
 * row, so of two that wake a run one leases it; and of a statement that is repeated only the first try, for which nobody knows the
 * lease then. The heartbeat gives it back.
 */
export const TAKEN = (k: string, owner: string, queues: string): string =>
  `${owner}::uuid is not null and ${k}.lease_owner is null and ${k}.flow_key is null and ${k}.priority < ${PARKED} and ${k}.workflow = any(${queues}::text[])`;

/** For the `set` of an update of task rows `k`, where the condition says whether it is leased. */
export const LEASED = (condition: string, owner: string): string => `
      lease_owner = case when ${condition} then ${owner}::uuid else k.lease_owner end,
      fence = case when ${condition} then k.fence + 1 else k.fence end,
      turn = case when ${condition} then 0 else k.turn end`;

/**
 * Messages `m` that the statement itself puts into inboxes: its snapshot does not show them. Looked through once for each task `k`, so
 * not for those of thousands that are not leased.
 */
export const ARRIVED = (messages: string, condition = 'true'): string => `
  case when ${condition} then
    (select json_agg(json_build_object('head', ${MESSAGE_HEAD}, 'data', m.data))::text from ${messages} m where m.execution = k.execution)
  end as arrived`;
