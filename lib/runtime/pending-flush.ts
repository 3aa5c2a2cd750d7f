import { encodeFailure, toFailure } from '../engine/failure.js';
import type { JournalRow } from '../engine/journal.js';
import { LazySet } from '../engine/lazy.js';
import type { AdvanceCommit } from '../ports/index.js';

const NOTHING: readonly string[] = [];

/** What an activation has found out and not yet stored. */
export class PendingFlush {
  readonly #rows = new Map<string, JournalRow>();
  readonly #consumed = new LazySet<string>();
  #rollbacks: number | null = null;

  /** A later state of a row replaces an earlier one. */
  put(row: JournalRow): void {
    this.#rows.set(row.key, row);
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  consume(ids: Iterable<string>): void {
    for (const id of ids) this.#consumed.add(id);
  }

  /** So many compensations are registered: the header must know before anything is done that they would undo. */
  registered(rollbacks: number): void {
    this.#rollbacks = rollbacks;
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0 && this.#consumed.size === 0 && this.#rollbacks === null;
  }

  get rows(): JournalRow[] {
    return [...this.#rows.values()];
  }

  get consumed(): readonly string[] {
    return this.#consumed.size === 0 ? NOTHING : [...this.#consumed.values()];
  }

  get rollbacks(): number | null {
    return this.#rollbacks;
  }

  clear(): void {
    this.#rollbacks = null;
    this.#rows.clear();
    this.#consumed.clear();
  }
}

/** Nothing of this commit but these rows, after which the run starts over from its journal. */
const onlyRows = (commit: AdvanceCommit, rows: readonly JournalRow[], now: number): AdvanceCommit => ({
  ...commit,
  lean: false,
  rows,
  tasks: [],
  consumed: [],
  rollbacks: null,
  next: { to: 'suspend', dueAt: now },
});

/** What the database has refused, as the failure of the step that gave it. */
const refused = (row: JournalRow, error: unknown): JournalRow => ({
  ...row,
  answer: { ok: false, failure: encodeFailure(toFailure(error)) },
});

/**
 * Commits to make instead when the database has refused a value of this one, each as a list to be tried in turn: the step that gave it fails,
 * and the run starts over from its journal; if not even that can be stored, the run fails. Of steps that have executed beside each
 * other any may have given it: each is stored by itself, so that the results of the others are kept. (All of them go on but the last; only
 * deliveries that are not guarded have several, so no turn is counted.)
 */
export function withoutCulprit(
  commit: AdvanceCommit,
  error: unknown,
  now: number,
): readonly (readonly AdvanceCommit[])[] {
  const failed: AdvanceCommit = {
    ...onlyRows(commit, [], now),
    next: { to: 'failed', error: encodeFailure(toFailure(error)) },
  };
  const executed = commit.rows.filter(({ attempts, answer }) => attempts > 0 && answer !== null);
  if (executed.length > 1) {
    const goesOn = { next: { to: 'continue' } } as const;
    const alone = executed.map((row) => [
      { ...onlyRows(commit, [row], now), ...goesOn },
      { ...onlyRows(commit, [refused(row, error)], now), ...goesOn },
      failed,
    ]);
    return [...alone, [onlyRows(commit, [], now)]];
  }
  const culprit = commit.rows.findLast((row) => row.answer !== null);
  return [culprit ? [onlyRows(commit, [refused(culprit, error)], now), failed] : [failed]];
}
