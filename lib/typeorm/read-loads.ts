import type { InboxMessage, JournalRow } from '../engine/journal.js';
import type { Loaded } from '../ports/index.js';
import { toJournalRow, type LoadHead, type MessageHead, type StepColumns } from './row-mapping.js';

export interface LoadColumns extends StepColumns {
  tag: 'run' | 'step' | 'message';
  task_id: string;
  head: string | null;
  data: string | null;
}

/** Sorts the rows of the `load` statement by task. */
export function readLoads(rows: readonly LoadColumns[]): Map<string, Loaded> {
  const steps = new Map<string, JournalRow[]>();
  const messages = new Map<string, InboxMessage[]>();
  const loads = new Map<string, Loaded>();
  const of = <T>(map: Map<string, T[]>, id: string): T[] => {
    const known = map.get(id) ?? [];
    map.set(id, known);
    return known;
  };
  for (const row of rows) {
    if (row.tag === 'step') of(steps, row.task_id).push(toJournalRow(row));
    else if (row.tag === 'message')
      of(messages, row.task_id).push({ ...(JSON.parse(row.head!) as MessageHead), data: row.data! });
    else loads.set(row.task_id, headOf(row, of(steps, row.task_id), of(messages, row.task_id)));
  }
  for (const inbox of messages.values())
    inbox.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  return loads;
}

/** The arrays are filled after this, as the rows come. */
function headOf(row: LoadColumns, rows: JournalRow[], inbox: InboxMessage[]): Loaded {
  const { wanted, turn, gather, lost, now, ...header } = JSON.parse(row.head!) as LoadHead;
  return { header: { ...header, payload: row.data! }, rows, inbox, wanted, turn, gather, lost, now };
}
