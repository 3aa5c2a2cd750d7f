import { RunCancelledError } from './errors.js';
import { encodeFailure, toFailure } from './failure.js';
import type { Answer, InboxMessage, Journal, JournalRow } from './journal.js';
import type { Ask } from './replay.js';

/** What has arrived for the open asks of a run and has no position yet, in the order in which it happened. */
export interface Arrivals {
  readonly rows: readonly JournalRow[];
  /** ids of the inbox messages that are used up by these rows */
  readonly consumed: ReadonlySet<string>;
}

/** Text of `undefined` in no codec: a sleep and a timed-out wait have no value, and nobody decodes it. */
export const NO_VALUE = '';

/** What a child tells its parent: by a message, or in memory. */
export type ChildEnd = Pick<InboxMessage, 'kind' | 'data'>;

const NONE: Arrivals = { rows: [], consumed: new Set() };

interface Arrival {
  readonly at: number;
  readonly order: number;
  readonly row: JournalRow;
  /** the event that answers it */
  readonly event?: InboxMessage;
  /** the message for this step alone that answers it */
  readonly result?: InboxMessage;
}

/**
 * Decides which open asks are answered next: by a step task, by a child run, by an event, or because their time has come.
 * An event goes to every open wait of its name; if the event and the wait's own timeout are both there, the event wins.
 * Otherwise what happened earlier comes first, and what was asked earlier among equals.
 *
 * An event is given only when the code has seen all that happened before it: a loop that a sleep has just sent round may
 * wait for the event again, and the wait it left behind must not swallow it. So this is asked again after each delivery,
 * until nothing is left.
 */
export function arrivalsFor(journal: Journal, open: readonly Ask[], now: number): Arrivals {
  const found: Arrival[] = [];
  for (const ask of open) {
    const arrival = arrivalOf(journal, ask, now);
    if (arrival !== undefined) found.push(arrival);
  }
  // the case of every step: nothing is made for it
  if (found.length === 0) return NONE;
  found.sort((a, b) => a.at - b.at || a.order - b.order);
  const first = found[0]!.event;
  const taken = first ? found.filter(({ event }) => event === first) : beforeAnyEvent(found);
  const position = journal.position + 1;
  return {
    rows: taken.map(({ row }, i) => ({ ...row, position: position + i })),
    consumed: new Set(taken.flatMap(({ event, result }) => (event ?? result)?.id ?? [])),
  };
}

function beforeAnyEvent(found: readonly Arrival[]): readonly Arrival[] {
  const at = found.findIndex(({ event }) => event !== undefined);
  return at < 0 ? found : found.slice(0, at);
}

function arrivalOf(journal: Journal, { key, order }: Ask, now: number): Arrival | undefined {
  const row = journal.get(key);
  if (row === undefined || row.state === 'journaled') return undefined;
  if (row.state === 'answered') {
    return { at: row.finishedAt!, order, row: { ...row, state: 'journaled' } };
  }
  const result = row.kind === 'invoke' ? journal.resultFor(key) : undefined;
  if (result !== undefined) {
    return { at: result.createdAt, order, row: resultRow(row, result, now), result };
  }
  const event = row.event === null ? undefined : eventFor(journal, row.event);
  if (event !== undefined) {
    return { at: event.createdAt, order, row: eventRow(row, event, now), event };
  }
  const timed = row.kind === 'sleep' || row.kind === 'wait';
  return timed && row.wakeAt !== null && row.wakeAt <= now
    ? { at: row.wakeAt, order, row: timeRow(row, now) }
    : undefined;
}

/** The oldest message of that event that this run has not been given yet: a kept event may be in the inbox twice. */
function eventFor(journal: Journal, event: string): InboxMessage | undefined {
  return journal.inbox.find(
    (message) => message.kind === 'event' && message.event === event && !journal.hasTaken(message.eventId),
  );
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

/** How a child has ended answers the step that has invoked it; without a position yet. */
export function resultRow(row: JournalRow, end: ChildEnd, now: number): JournalRow {
  return { ...row, state: 'journaled', answer: answerOf(row, end), attempts: 1, finishedAt: now };
}

function answerOf({ request }: JournalRow, { kind, data }: ChildEnd): Answer {
  if (kind === 'completed') return { ok: true, value: data };
  if (kind === 'failed') return { ok: false, failure: data };
  return { ok: false, failure: encodeFailure(toFailure(new RunCancelledError(request!))) };
}

function timeRow(row: JournalRow, now: number): JournalRow {
  return { ...row, state: 'journaled', answer: { ok: true, value: NO_VALUE }, finishedAt: now };
}
