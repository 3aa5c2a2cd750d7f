import type { Lease, Task } from '../../../lib/ports/index.js';
import { callQueue, type MemoryTables, type TaskRow } from './tables.js';

/** The row of a lease that holds. This comparison is the fence: all writes of a lease holder pass through it. */
export function held(t: MemoryTables, lease: Lease): TaskRow | undefined {
  const task = t.tasks.get(lease.taskId);
  return task?.fence === lease.fence ? task : undefined;
}

export function taskOf(t: MemoryTables, row: TaskRow): Task {
  const { runId, workflow, version } = t.runs.get(row.execution)!;
  return {
    taskId: row.taskId,
    fence: row.fence,
    execution: row.execution,
    runId,
    workflow,
    version,
    step: row.stepKey === '' ? null : row.stepKey,
    kind: row.kind,
    flow: row.flowKey !== null,
  };
}

/** The queues a claim looks into: those of calls stand beside those of the workflows. */
export const queuesOf = (workflows: readonly string[], calls: number): string[] =>
  calls > 0 ? [...workflows, ...workflows.map(callQueue)] : [...workflows];

export function lease(t: MemoryTables, row: TaskRow, worker: string): void {
  row.owner = worker;
  row.fence++;
  row.turn = 0;
  t.leased(row, worker);
}

/** A lease is given back: the next fence shuts out whoever still works under it. */
export function free(row: TaskRow, dueAt: number): void {
  row.owner = null;
  row.fence++;
  row.turn = 0;
  row.dueAt = dueAt;
}

/** Id of the copy of a kept event for one run. */
export const copyId = (eventId: string, execution: string): string => `${eventId}/${execution}`;
