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

interface Arrival {
  readonly at: number;
  readonly order: number;
  readonly row: JournalRow;
  readonly message: InboxMessage | undefined;
}

/**
 * Decides which open asks are answered next: by a step task, by a message, or because their time has come.
 * An event goes to every open wait of its name; if the event and the wait's own timeout are both there, the event wins.
 * Otherwise what happened earlier comes first, and what was asked earlier among equals.
 *
 * An event is given only when the code has seen all that happened before it: a loop that a sleep has just sent round may
 * wait for the event again, and the wait it left behind must not swallow it. So this is asked again after each delivery,
 * until nothing is left.
 */
export function arrivalsFor(journal: Journal, open: readonly Ask[], now: number): Arrivals {
  const found = open
    .map((ask) => arrivalOf(journal, ask, now))
    .filter((arrival) => arrival !== undefined)
    .toSorted((a, b) => a.at - b.at || a.order - b.order);
  const message = found[0]?.message;
  const taken = message ? found.filter((arrival) => arrival.message === message) : beforeAnyEvent(found);
  const first = journal.position + 1;
  return {
    rows: taken.map(({ row }, i) => ({ ...row, position: first + i })),
    consumed: new Set(message && [message.id]),
  };
}

function beforeAnyEvent(found: readonly Arrival[]): readonly Arrival[] {
  const event = found.findIndex(({ message }) => message !== undefined);
  return event < 0 ? found : found.slice(0, event);
}

function arrivalOf(journal: Journal, { key, order }: Ask, now: number): Arrival | undefined {
  const row = journal.get(key);
  if (row === undefined || row.state === 'journaled') return undefined;
  if (row.state === 'answered') {
    return { at: row.finishedAt!, order, row: { ...row, state: 'journaled' }, message: undefined };
  }
  const message = row.event === null ? undefined : messageFor(journal, row.event);
  if (message !== undefined) {
    return { at: message.createdAt, order, row: eventRow(row, message, now), message };
  }
  const timed = row.kind === 'sleep' || row.kind === 'wait';
  return timed && row.wakeAt !== null && row.wakeAt <= now
    ? { at: row.wakeAt, order, row: timeRow(row, now), message: undefined }
    : undefined;
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
