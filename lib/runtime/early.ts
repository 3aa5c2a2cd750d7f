import type { JournalRow } from '../engine/journal.js';
import type { Claimed, Loaded } from '../ports/index.js';

/**
 * What becomes due within this time is claimed already, and started when it is: a timer is not late by the time that a claim takes. Not
 * where a test says what time it is, which does not go on by itself.
 */
export const LEAD_MS = 10;
/** The timer is set to so much before it, and so within what is claimed although the two clocks are not read in one moment. */
export const AHEAD_MS = 6;

/** When a task that was claimed before it is due is to be started: by the clock of this process, and by that of the database. */
export interface Early {
  readonly at: number;
  readonly dueAt: number;
  readonly loaded: Loaded | undefined;
}

/** Time alone answers it: nothing that arrives until it is due could come before that. */
const byTimeAlone = ({ state, kind, dispatched }: JournalRow): boolean =>
  state !== 'pending' || (kind !== 'wait' && !dispatched);

/**
 * Of what was claimed too early, by task id. What was not read with it reads the time itself: then it is surely due. So does what
 * waits for more than time: an event that comes before the timeout is there when it is read then, and wins.
 * @param now by the clock of this process, when the claim has come back
 * @param passed since it was sent; a claim that took longer than usual may have waited for a connection, and was read late then: nothing
 * is started before it is due
 */
export function earlyOf(
  { early = new Map<string, number>(), now: readAt }: Claimed,
  loads: ReadonlyMap<string, Loaded> | undefined,
  now: number,
  passed: number,
): ReadonlyMap<string, Early> {
  const starts = [...early].map(([taskId, dueAt]): [string, Early] => {
    const read = loads?.get(taskId);
    const loaded = read?.rows.every(byTimeAlone) ? read : undefined;
    return [taskId, { at: now + dueAt - readAt - (loaded && passed < AHEAD_MS ? passed : 0), dueAt, loaded }];
  });
  return new Map(starts);
}
