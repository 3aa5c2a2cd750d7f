import type { InboxMessage, JournalRow } from '../engine/journal.js';
import type { Loaded, OwnedRun, RunHeader } from '../ports/index.js';
import {
  toJournalRow,
  toTasks,
  type LoadHead,
  type MessageHead,
  type StepColumns,
  type TaskColumns,
} from './row-mapping.js';

export interface LoadColumns extends StepColumns {
  tag: 'run' | 'step' | 'message';
  /** position of the request in the call, from 1 */
  item: number;
  head: string | null;
  data: string | null;
}

/** Sorts the rows of the `load` statement by request. */
export function readLoads(rows: readonly LoadColumns[], lag: number): Map<number, Loaded> {
  const steps = new Map<number, JournalRow[]>();
  const messages = new Map<number, InboxMessage[]>();
  const loads = new Map<number, Loaded>();
  const of = <T>(map: Map<number, T[]>, request: number): T[] => {
    const known = map.get(request) ?? [];
    map.set(request, known);
    return known;
  };
  for (const row of rows) {
    if (row.tag === 'step') of(steps, row.item).push(toJournalRow(row));
    else if (row.tag === 'message')
      of(messages, row.item).push(messageOf(JSON.parse(row.head!) as MessageHead, row.data!));
    else loads.set(row.item, headOf(row, of(steps, row.item), of(messages, row.item), lag));
  }
  for (const inbox of messages.values()) inbox.sort(inOrder);
  return loads;
}

/** What a claim has read of a task. */
export interface ReadColumns {
  task_id: string | null;
  head: string | null;
  payload: string | null;
  steps: string | null;
  inbox: string | null;
  /** messages that the very statement has put there */
  arrived?: string | null;
}

/** By task id. */
export function readClaims(rows: readonly ReadColumns[], lag: number): Map<string, Loaded> {
  const loads = new Map<string, Loaded>();
  for (const { task_id: taskId, head, payload, steps, inbox, arrived = null } of rows) {
    if (taskId === null || head === null) continue;
    const journal = (JSON.parse(steps ?? '[]') as StepColumns[]).map(toJournalRow);
    const own = messagesOf(arrived);
    const loaded = headOf(
      { head, data: payload },
      journal,
      [...messagesOf(inbox), ...own].sort(inOrder),
      lag,
    );
    loads.set(taskId, { ...loaded, wanted: loaded.wanted + own.length });
  }
  return loads;
}

const messagesOf = (text: string | null): InboxMessage[] =>
  (JSON.parse(text ?? '[]') as { head: MessageHead; data: string }[]).map(({ head, data }) =>
    messageOf(head, data),
  );

/** Field by field, as the header below: see ADR 20 on objects that begin with a spread. */
const messageOf = (m: MessageHead, data: string): InboxMessage => ({
  id: m.id,
  kind: m.kind,
  key: m.key,
  event: m.event,
  eventId: m.eventId,
  createdAt: m.createdAt,
  data,
});

const headerOf = (h: LoadHead, payload: string): RunHeader => ({
  execution: h.execution,
  runId: h.runId,
  workflow: h.workflow,
  version: h.version,
  payload,
  labels: h.labels,
  attempt: h.attempt,
  createdAt: h.createdAt,
  deadlineAt: h.deadlineAt,
  depth: h.depth,
  child: h.child,
  singleton: h.singleton,
  rollbacks: h.rollbacks,
  cancelling: h.cancelling,
});

/** What was leased by the statement that woke it. */
export function readOwned(rows: readonly (TaskColumns & ReadColumns)[], lag: number): OwnedRun[] {
  const loads = readClaims(rows, lag);
  return toTasks(rows).map((task) => ({ task, loaded: loads.get(task.taskId) ?? null }));
}

/** Of one moment (one transaction): in the order in which they were sent, which the event's id keeps. */
const inOrder = (a: InboxMessage, b: InboxMessage): number =>
  a.createdAt - b.createdAt || (a.eventId < b.eventId ? -1 : 1);

/** The arrays are filled after this, as the rows come. */
function headOf(
  row: Pick<LoadColumns, 'head' | 'data'>,
  rows: JournalRow[],
  inbox: InboxMessage[],
  lag: number,
): Loaded {
  const head = JSON.parse(row.head!) as LoadHead;
  const { step, wanted, turn, gather, lost, keyed, paced, now } = head;
  return {
    header: headerOf(head, row.data!),
    rows,
    inbox,
    step,
    wanted,
    turn,
    gather,
    lost,
    keyed,
    paced,
    now: now + lag,
  };
}
