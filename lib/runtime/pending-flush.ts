import { encodeFailure, toFailure } from '../engine/failure.js';
import type { JournalRow } from '../engine/journal.js';
import type { AdvanceCommit } from '../ports/index.js';

/** What an activation has found out and not yet stored. */
export class PendingFlush {
  readonly #rows = new Map<string, JournalRow>();
  readonly #consumed = new Set<string>();
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

  get consumed(): string[] {
    return [...this.#consumed];
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

/**
 * Commits to try in turn when the database has refused a value of this one: first the step that gave it fails and the run
 * starts over from its journal; if not even that can be stored, the run fails.
 */
export function withoutCulprit(commit: AdvanceCommit, error: unknown, now: number): AdvanceCommit[] {
  const failure = encodeFailure(toFailure(error));
  const failed: AdvanceCommit = {
    ...commit,
    lean: false,
    rows: [],
    tasks: [],
    consumed: [],
    rollbacks: null,
    next: { to: 'failed', error: failure },
  };
  const culprit = commit.rows.findLast((row) => row.answer !== null);
  if (!culprit) return [failed];
  const row: JournalRow = { ...culprit, answer: { ok: false, failure } };
  return [{ ...failed, rows: [row], next: { to: 'suspend', dueAt: now } }, failed];
}
