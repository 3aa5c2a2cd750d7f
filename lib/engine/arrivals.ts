import type { InboxMessage, Journal, JournalRow } from './journal.js';
import type { Ask } from './replay.js';

/** What has arrived for the open asks of a run and has no position yet, in the order in which it happened. */
export interface Arrivals {
  readonly rows: readonly JournalRow[];
  /** ids of the inbox messages that are used up by these rows */
  readonly consumed: ReadonlySet<string>;
}

/** Text of `undefined` in no codec: a sleep and a timed-out wait have no value, and nobody decodes it. */
export const NO_VALUE = '';

/**
 * Decides which open asks are answered by now: by a step task, by a message, or because their time has come.
 * An event goes to every open wait of its name; if the event and the wait's own timeout are both there, the event wins.
 * Otherwise what happened earlier comes first, and what was asked earlier among equals.
 */
export function arrivalsFor(journal: Journal, open: readonly Ask[], now: number): Arrivals {
  const consumed = new Set<string>();
  const found: { at: number; order: number; row: JournalRow }[] = [];
  for (const ask of open) {
    const row = journal.get(ask.key);
    if (row === undefined) continue;
    if (row.state === 'answered') {
      found.push({ at: row.finishedAt!, order: ask.order, row: { ...row, state: 'journaled' } });
      continue;
    }
    if (row.state === 'journaled') continue;
    const message = row.event === null ? undefined : messageFor(journal, row.event);
    if (message !== undefined) {
      consumed.add(message.id);
      found.push({ at: message.createdAt, order: ask.order, row: eventRow(row, message, now) });
    } else if ((row.kind === 'sleep' || row.kind === 'wait') && row.wakeAt !== null && row.wakeAt <= now) {
      found.push({ at: row.wakeAt, order: ask.order, row: timeRow(row, now) });
    }
  }
  found.sort((a, b) => a.at - b.at || a.order - b.order);
  const first = journal.position + 1;
  return { rows: found.map(({ row }, i) => ({ ...row, position: first + i })), consumed };
}

/** The oldest message of that event that this run has not been given yet: a kept event may be in the inbox twice. */
function messageFor(journal: Journal, event: string): InboxMessage | undefined {
  return journal.inbox.find((message) => message.event === event && !journal.hasTaken(message.eventId));
}

function eventRow(row: JournalRow, message: InboxMessage, now: number): JournalRow {
  return {
    ...row,
    state: 'journaled',
    answer: { ok: true, value: message.data },
    eventId: message.eventId,
    finishedAt: now,
  };
}

function timeRow(row: JournalRow, now: number): JournalRow {
  return { ...row, state: 'journaled', answer: { ok: true, value: NO_VALUE }, finishedAt: now };
}
