import type { InboxMessage, JournalRow } from '../engine/journal.js';
import type { Loaded } from '../ports/index.js';
import { toJournalRow, type LoadHead, type MessageHead, type StepColumns } from './row-mapping.js';

export interface LoadColumns extends StepColumns {
  tag: 'run' | 'step' | 'message';
  /** position of the request in the call, from 1 */
  item: number;
  head: string | null;
  data: string | null;
}

/** Sorts the rows of the `load` statement by request. */
export function readLoads(rows: readonly LoadColumns[]): Map<number, Loaded> {
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
      of(messages, row.item).push({ ...(JSON.parse(row.head!) as MessageHead), data: row.data! });
    else loads.set(row.item, headOf(row, of(steps, row.item), of(messages, row.item)));
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
}

/** By task id. */
export function readClaims(rows: readonly ReadColumns[]): Map<string, Loaded> {
  const loads = new Map<string, Loaded>();
  for (const { task_id: taskId, head, payload, steps, inbox } of rows) {
    if (taskId === null || head === null) continue;
    const journal = (JSON.parse(steps ?? '[]') as StepColumns[]).map(toJournalRow);
    const messages = (JSON.parse(inbox ?? '[]') as { head: MessageHead; data: string }[]).map((message) => ({
      ...message.head,
      data: message.data,
    }));
    loads.set(taskId, headOf({ head, data: payload }, journal, messages.sort(inOrder)));
  }
  return loads;
}

/** Of one moment (one transaction): in the order in which they were sent, which the event's id keeps. */
const inOrder = (a: InboxMessage, b: InboxMessage): number =>
  a.createdAt - b.createdAt || (a.eventId < b.eventId ? -1 : 1);

/** The arrays are filled after this, as the rows come. */
function headOf(row: Pick<LoadColumns, 'head' | 'data'>, rows: JournalRow[], inbox: InboxMessage[]): Loaded {
  const { step, wanted, turn, gather, lost, keyed, paced, now, ...header } = JSON.parse(
    row.head!,
  ) as LoadHead;
  return {
    header: { ...header, payload: row.data! },
    rows,
    inbox,
    step,
    wanted,
    turn,
    gather,
    lost,
    keyed,
    paced,
    now,
  };
}
