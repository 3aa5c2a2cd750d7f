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
  mark !== undefined && occurrence >= readMark(mark).occurrence;

const readMark = ({ request }: JournalRow): { occurrence: number; next: string | undefined } => {
  const [, occurrence, next] = /^(\d+)(?: ([^]+))?$/.exec(request!)!;
  return { occurrence: Number(occurrence), next };
};

/** The mark, with the key that the code asked for next: by it code is known that cannot have left this mark. */
export const withNext = (mark: JournalRow, key: string): JournalRow => ({
  ...mark,
  request: `${readMark(mark).occurrence} ${key}`,
});

/**
 * A mark of this phase that the code has passed over: it has neither called `ctx.patched` for it nor asked for what came next.
 * It is older than the run, and would do once more, in its way, what is done in the new one. (Code from which the call was taken
 * out again goes the new way, and asks for what came next.)
 */
export const passedOver = (
  marks: Iterable<JournalRow>,
  prefix: string,
  knows: (key: string) => boolean,
): JournalRow | undefined => {
  for (const mark of marks) {
    if (!mark.key.startsWith(prefix + PATCH_PREFIX) || knows(mark.key)) continue;
    const { next } = readMark(mark);
    if (next !== undefined && !knows(next)) return mark;
  }
  return undefined;
};

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
