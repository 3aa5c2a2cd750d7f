import { NO_VALUE } from './arrivals.js';
import type { JournalRow } from './journal.js';

/** Keys of the marks that changed code leaves in a journal; no step is named so. */
export const PATCH_PREFIX = '@patched/';

/**
 * What `ctx.patched(id)` gives when it is called for the `occurrence`th time: true from the call on that was the first to be made
 * by new code beyond everything that was recorded before. That call leaves a mark, durable before anything that depends on it
 * starts, so that each replay gives the same; where no mark is, the code that went on was the old one.
 */
export const isPatched = (mark: JournalRow | undefined, occurrence: number): boolean =>
  mark !== undefined && occurrence >= Number(mark.request);

/** The mark: a journal row that nobody asks for. */
export const patchRow = (key: string, occurrence: number, position: number, now: number): JournalRow => ({
  key,
  name: key,
  kind: 'patch',
  state: 'journaled',
  position,
  answer: { ok: true, value: NO_VALUE },
  attempts: 1,
  askedAt: now,
  finishedAt: now,
  wakeAt: null,
  event: null,
  eventId: null,
  dispatched: false,
  digest: null,
  request: String(occurrence),
});
