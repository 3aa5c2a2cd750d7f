import type { JournalRow } from '../engine/journal.js';
import type { AdvanceCommit, CommitResult } from '../ports/index.js';
import { float8s, int4s, int8s, texts } from './binary-array.js';
import { failureOf, valueOf } from './row-mapping.js';

/** What `plainMany` gives back: how many commits held, and (not all) which, by their numbers from 1. */
export interface PlainColumns {
  held: number;
  which: string | null;
}

/** The commits are lean: of each only a step that was answered here is stored, and its run goes on in this process. */
export const arePlain = (commits: readonly AdvanceCommit[]): boolean => commits.every(isPlain);

const isPlain = ({ next, turn, rows }: AdvanceCommit): boolean =>
  next.to === 'continue' && turn === null && rows.length === 1 && isAnsweredStep(rows[0]!);

/** A lean commit of one answered step, by which the run goes on or ends. */
export const isSwift = ({ lean, next, rows }: AdvanceCommit): boolean =>
  lean === true && next.to !== 'suspend' && rows.length === 1 && isAnsweredStep(rows[0]!);

const isAnsweredStep = (row: JournalRow): boolean =>
  row.kind === 'step' &&
  row.state === 'journaled' &&
  row.wakeAt === null &&
  row.event === null &&
  row.eventId === null &&
  !row.dispatched &&
  row.request === null;

/** Parameters of `plainMany`. */
export function plainValues(now: number | null, commits: readonly AdvanceCommit[]): unknown[] {
  const rows = commits.map((c) => c.rows[0]!);
  return [
    now,
    int8s(commits.map((c) => c.taskId)),
    int4s(commits.map((c) => c.fence)),
    int8s(commits.map((c) => c.execution)),
    texts(rows.map((r) => r.key)),
    texts(rows.map((r) => r.name)),
    int4s(rows.map((r) => r.position)),
    texts(rows.map(valueOf)),
    texts(rows.map(failureOf)),
    int4s(rows.map((r) => r.attempts)),
    float8s(rows.map((r) => r.askedAt)),
    float8s(rows.map((r) => r.finishedAt)),
    texts(rows.map((r) => r.digest)),
  ];
}

/** The lease and the row: how the parameters of the swift statements begin. */
export function leaseAndRow(commit: AdvanceCommit): unknown[] {
  const row = commit.rows[0]!;
  return [
    commit.taskId,
    commit.fence,
    commit.execution,
    row.key,
    row.name,
    row.position,
    valueOf(row),
    failureOf(row),
    row.attempts,
    row.askedAt,
    row.finishedAt,
    row.digest,
  ];
}

/** In the order of the commits. Nothing of what goes on becomes due by its commit. */
export function plainResults(count: number, { held, which }: PlainColumns): CommitResult[] {
  if (held === count) return Array.from({ length: count }, () => 'committed');
  const those = new Set(which?.split(',').map(Number));
  return Array.from({ length: count }, (_, i) => (those.has(i + 1) ? 'committed' : 'lost'));
}
