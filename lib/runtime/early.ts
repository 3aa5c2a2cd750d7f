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

/**
 * Of what was claimed too early, by task id. What was not read with it reads the time itself: then it is surely due.
 * @param now by the clock of this process, when the claim has come back
 * @param passed since it was sent
 */
export function earlyOf(
  { early = new Map<string, number>(), now: read }: Claimed,
  loads: ReadonlyMap<string, Loaded> | undefined,
  now: number,
  passed: number,
): ReadonlyMap<string, Early> {
  const starts = [...early].map(([taskId, dueAt]): [string, Early] => {
    const loaded = loads?.get(taskId);
    return [taskId, { at: now + dueAt - read - (loaded ? passed : 0), dueAt, loaded }];
  });
  return new Map(starts);
}
