import type { JournalRow } from '../../../lib/engine/journal.js';
import type { Reported, RunFilter, RunRecord, RunStatus, Taker } from '../../../lib/ports/index.js';
import { own } from './owning.js';
import { stuckOf } from './versions.js';
import { headerOf, type MemoryTables, type RunRow, type TaskRow } from './tables.js';

/** What a person calls the status: whether an active run runs or waits, its tasks know. */
function statusOf(t: MemoryTables, run: RunRow): RunStatus {
  if (run.status !== 'active') return run.status as RunStatus;
  const tasks = t.tasksIn(run.execution);
  if (tasks.some(({ owner }) => owner !== null)) return 'running';
  return tasks.every(({ fence }) => fence === 0) ? 'pending' : 'waiting';
}

export function recordOf(t: MemoryTables, run: RunRow): RunRecord {
  return {
    ...headerOf(run),
    status: statusOf(t, run),
    result: run.result,
    error: run.error,
    finishedAt: run.finishedAt,
    stuck: stuckOf(t, run),
  };
}

export function matches(t: MemoryTables, run: RunRow, filter: RunFilter): boolean {
  const { runIds, workflow, label, createdAfter, createdBefore, status, stuck } = filter;
  return (
    (stuck === undefined || stuckOf(t, run) !== null) &&
    (runIds === undefined || runIds.includes(run.runId)) &&
    (workflow === undefined || run.workflow === workflow) &&
    (label === undefined || run.labels.includes(label)) &&
    (createdAfter === undefined || run.createdAt >= createdAfter.getTime()) &&
    (createdBefore === undefined || run.createdAt < createdBefore.getTime()) &&
    (status === undefined || statusOf(t, run) === status)
  );
}

/**
 * Ends active runs as cancelled, without their lease: all their tasks go. One with compensations is marked instead, its open
 * steps go but for what compensates, and it is due at once under a new fence.
 */
export function cancelWhere(
  t: MemoryTables,
  target: (run: RunRow) => boolean,
  now: number,
): { execution: string; runId: string }[] {
  const chosen = [...t.active.values()].filter((run) => target(run) && t.advanceOf(run.execution));
  for (const run of chosen) {
    const undoes = run.rollbacks > 0;
    for (const task of t.tasksIn(run.execution)) {
      if (!undoes || (task.stepKey !== '' && !task.stepKey.startsWith('rollback/'))) t.removeTask(task);
      else if (task.stepKey === '') {
        task.owner = null;
        task.fence++;
        task.turn = task.lost = task.gather = 0;
        task.stuck = null;
        task.wanted++;
        task.dueAt = now;
      }
    }
    if (undoes) {
      run.cancellingAt = now;
      run.uncascaded = true;
      t.changed(run, 'cancelling');
      t.owe(run);
      continue;
    }
    for (const message of t.inbox(run.execution)) t.removeMessage(message);
    t.endRun(run, 'cancelled', now, null);
  }
  return chosen.map(({ execution, runId }) => ({ execution, runId }));
}

/** Statement `cancelChildren`: of cancelled runs, one generation. */
export const cancelChildren = (t: MemoryTables, now: number): string[] =>
  cancelWhere(
    t,
    (run) => {
      const parent = run.parentId === null ? undefined : t.runs.get(run.parentId);
      return parent?.uncascaded === true && run.cascades && run.cancellingAt === null;
    },
    now,
  ).map(({ execution }) => execution);

/** Statement `cascaded`: those whose children are all cancelled too, or stay on purpose, owe nothing any more. */
export function cascaded(t: MemoryTables): void {
  const active = [...t.active.values()];
  for (const run of t.owing) {
    if (!run.uncascaded) continue;
    const left = active.some(
      (child) => child.parentId === run.execution && child.cascades && child.cancellingAt === null,
    );
    if (left) continue;
    run.uncascaded = false;
    t.owe(run);
  }
}

/** Statement `reportChildren`: tells parents how their children have ended, each once. */
export function reportChildren(t: MemoryTables, limit: number, taker: Taker | null, now: number): Reported {
  const woken = new Set<TaskRow>();
  const ended = [...t.owing]
    .filter(({ unreported }) => unreported)
    .toSorted((a, b) => a.id - b.id)
    .slice(0, limit);
  for (const child of ended) {
    const task = t.advanceOf(child.parentId!);
    const id = `child/${child.execution}`;
    const message = {
      id,
      execution: child.parentId,
      kind: child.status as 'completed' | 'failed' | 'cancelled',
      event: '',
      eventId: id,
      key: child.parentKey,
      data: child.result ?? child.error ?? '',
      createdAt: now,
      expiresAt: null,
    };
    if (task && t.addMessage(message)) {
      t.wake(task, now);
      woken.add(task);
    }
    child.unreported = false;
    t.owe(child);
  }
  const owned = own(t, [...woken], taker, now);
  return { reported: ended.length, due: owned.length < woken.size, owned };
}

/** Statement `markReported`: their parents know already. */
export function markReported(t: MemoryTables, children: readonly string[]): void {
  for (const child of [...t.owing].filter(({ execution }) => children.includes(execution))) {
    child.unreported = false;
    t.owe(child);
  }
}

export function listRuns(
  t: MemoryTables,
  filter: RunFilter,
  limit: number,
  before: string | null,
): RunRecord[] {
  return [...t.current.values()]
    .filter((run) => (before === null || run.id < Number(before)) && matches(t, run, filter))
    .toSorted((a, b) => b.id - a.id)
    .slice(0, limit)
    .map((run) => recordOf(t, run));
}

const LAST = Number.MAX_SAFE_INTEGER;

/** Facts by position, then what is pending. */
export function journalOf(t: MemoryTables, runId: string): JournalRow[] | null {
  const run = t.current.get(runId);
  if (!run) return null;
  return t
    .stepsOf(run.execution)
    .toSorted(
      (a, b) =>
        (a.position ?? LAST) - (b.position ?? LAST) || a.askedAt - b.askedAt || (a.key < b.key ? -1 : 1),
    );
}
