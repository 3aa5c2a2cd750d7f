import type { JournalRow } from '../engine/journal.js';
import type { AdvanceCommit, CommitResult, Lease, StepCommit } from '../ports/index.js';
import { bools, float8s, int4s, int8s, texts, uuids } from './binary-array.js';
import { failureOf, valueOf } from './row-mapping.js';

/** What a commit gives back of those whose lease holds. */
export interface OwnedColumns {
  task_id: string;
  fence: number;
  due?: boolean;
}

/** In the order of the commits; one whose lease does not hold is missing among the rows. */
export function resultsOf(commits: readonly Lease[], written: readonly OwnedColumns[]): CommitResult[] {
  const byTask = new Map(written.map((row) => [row.task_id, row]));
  // the leases of one batch are of different tasks, or an older one of the same task is lost
  return commits.map(({ taskId, fence }) => {
    const row = byTask.get(taskId);
    if (row === undefined || row.fence !== fence) return 'lost';
    return row.due ? 'due' : 'committed';
  });
}

/** The columns of journal rows, without whose they are, in the order both statements have in common. */
function rowColumns(rows: readonly JournalRow[]) {
  return {
    keys: texts(rows.map((r) => r.key)),
    names: texts(rows.map((r) => r.name)),
    kinds: texts(rows.map((r) => r.kind)),
    states: texts(rows.map((r) => r.state)),
    positions: int4s(rows.map((r) => r.position)),
    values: texts(rows.map(valueOf)),
    failures: texts(rows.map(failureOf)),
    attempts: int4s(rows.map((r) => r.attempts)),
    asked: float8s(rows.map((r) => r.askedAt)),
    finished: float8s(rows.map((r) => r.finishedAt)),
    wake: float8s(rows.map((r) => r.wakeAt)),
    events: texts(rows.map((r) => r.event)),
    eventIds: uuids(rows.map((r) => r.eventId)),
    dispatched: bools(rows.map((r) => r.dispatched)),
    digests: texts(rows.map((r) => r.digest)),
    requests: texts(rows.map((r) => r.request)),
  };
}

/** The columns of the commits themselves, $2-$8 and when they are due. */
const headColumns = (commits: readonly AdvanceCommit[]) => ({
  heads: [
    int8s(commits.map((c) => c.taskId)),
    int4s(commits.map((c) => c.fence)),
    int8s(commits.map((c) => c.execution)),
    int4s(commits.map((c) => c.turn)),
    int4s(commits.map((c) => c.wantedSeen)),
    texts(commits.map((c) => wordOf(c.next))),
    texts(commits.map((c) => dataOf(c.next))),
  ],
  due: float8s(commits.map((c) => dueOf(c.next))),
});

/** Parameters of `commitMany`. */
export function leanValues(now: number | null, commits: readonly AdvanceCommit[]): unknown[] {
  const { heads, due } = headColumns(commits);
  const numbers: number[] = [];
  const rows: JournalRow[] = [];
  commits.forEach((commit, i) => {
    for (const row of commit.rows) {
      numbers.push(i + 1);
      rows.push(row);
    }
  });
  return [now, ...heads, due, int4s(numbers), ...Object.values(rowColumns(rows))];
}

/** Parameters of `commitOne`. */
export function oneValues(now: number | null, commit: AdvanceCommit, row: JournalRow): unknown[] {
  return [
    now,
    commit.taskId,
    commit.fence,
    commit.execution,
    commit.turn,
    commit.wantedSeen,
    wordOf(commit.next),
    dataOf(commit.next),
    dueOf(commit.next),
    row.key,
    row.name,
    row.kind,
    row.state,
    row.position,
    valueOf(row),
    failureOf(row),
    row.attempts,
    row.askedAt,
    row.finishedAt,
    row.wakeAt,
    row.event,
    row.eventId,
    row.dispatched,
    row.digest,
    row.request,
  ];
}

/** Parameters of `commit`. */
export function commitValues(now: number | null, commits: readonly AdvanceCommit[]): unknown[] {
  const { heads, due } = headColumns(commits);
  const rows = commits.flatMap((c) => c.rows);
  const owners = commits.flatMap((c) => c.rows.map(() => c.taskId));
  const tasks = commits.flatMap((c) => c.tasks.map((task) => ({ taskId: c.taskId, ...task })));
  const consumed = commits.flatMap((c) => c.consumed.map((id) => ({ taskId: c.taskId, id })));
  const { digests, requests, ...columns } = rowColumns(rows);
  return [
    now,
    ...heads,
    int8s(owners),
    ...Object.values(columns),
    int8s(tasks.map(({ taskId }) => taskId)),
    texts(tasks.map(({ key }) => key)),
    float8s(tasks.map(({ dueAt }) => dueAt)),
    int8s(consumed.map(({ taskId }) => taskId)),
    uuids(consumed.map(({ id }) => id)),
    due,
    int4s(commits.map((c) => (c.next.to === 'suspend' ? (c.next.attempt ?? null) : null))),
    digests,
    requests,
    texts(tasks.map(({ kind }) => kind)),
    texts(tasks.map(({ flow }) => flow?.key ?? null)),
    int4s(tasks.map(({ flow }) => flow?.parallelism ?? null)),
    int4s(tasks.map(({ flow }) => flow?.rate ?? null)),
    int4s(tasks.map(({ flow }) => flow?.periodMs ?? null)),
    int4s(commits.map((c) => c.rollbacks)),
    uuids(tasks.map(({ owner }) => owner ?? null)),
  ];
}

/** Parameters of `answer`. */
export const answerValues = (now: number | null, commits: readonly StepCommit[]): unknown[] => [
  now,
  int8s(commits.map((c) => c.taskId)),
  int4s(commits.map((c) => c.fence)),
  int8s(commits.map((c) => c.execution)),
  texts(commits.map((c) => c.row.key)),
  texts(commits.map((c) => valueOf(c.row))),
  texts(commits.map((c) => failureOf(c.row))),
  int4s(commits.map((c) => c.row.attempts)),
  float8s(commits.map((c) => c.row.finishedAt)),
  float8s(commits.map((c) => c.retryAt)),
  texts(commits.map((c) => c.row.request)),
];

export const wordOf = (next: AdvanceCommit['next']): string =>
  next.to === 'suspend' && next.listens ? 'listen' : next.to;

/** When the task is due again; of a new execution, in how many ms its deadline is. */
function dueOf(next: AdvanceCommit['next']): number | null {
  if (next.to === 'suspend') return next.dueAt;
  return next.to === 'continued' ? next.deadlineInMs : null;
}

export function dataOf(next: AdvanceCommit['next']): string | null {
  switch (next.to) {
    case 'completed':
      return next.result;
    case 'failed':
      return next.error;
    case 'suspend':
      return next.stuck ?? null;
    case 'continued':
      return next.payload;
    case 'continue':
    case 'cancelled':
      return null;
  }
}
