import type { JournalRow } from '../../../lib/engine/journal.js';
import type { Lease, RunHeader, Task } from '../../../lib/ports/index.js';

/** Rows as the migrations declare them. Times are ms; `Infinity` stands for a due time that never comes. */
export interface RunRow {
  readonly id: number;
  readonly execution: string;
  readonly runId: string;
  readonly workflow: string;
  version: string | null;
  readonly payload: string;
  readonly labels: readonly string[];
  readonly triggerId: string;
  readonly createdAt: number;
  readonly deadlineAt: number | null;
  readonly parentId: string | null;
  readonly parentKey: string | null;
  readonly depth: number;
  readonly cascades: boolean;
  readonly priority: number;
  readonly flowKey: string | null;
  readonly singletonKey: string | null;
  singletonHeld: boolean;
  isCurrent: boolean;
  status: 'active' | 'completed' | 'failed' | 'cancelled' | 'continued';
  result: string | null;
  error: string | null;
  attempt: number;
  endedFence: number | null;
  finishedAt: number | null;
  rollbacks: number;
  unreported: boolean;
  uncascaded: boolean;
  cancellingAt: number | null;
}

export interface TaskRow {
  readonly id: number;
  readonly taskId: string;
  readonly execution: string;
  /** of the workflow and its version; calls have one beside it */
  queue: string;
  readonly kind: Task['kind'];
  /** empty for the task that advances the run */
  readonly stepKey: string;
  readonly flowKey: string | null;
  priority: number;
  dueAt: number;
  owner: string | null;
  fence: number;
  turn: number;
  wanted: number;
  lost: number;
  lostPosition: number;
  gather: number;
  stuck: string | null;
}

export interface MessageRow {
  readonly id: string;
  /** null: kept for runs that wait later */
  execution: string | null;
  readonly kind: 'event' | 'completed' | 'failed' | 'cancelled' | 'taken';
  readonly event: string;
  readonly eventId: string;
  readonly key: string | null;
  readonly data: string;
  readonly createdAt: number;
  readonly expiresAt: number | null;
}

export interface WorkerRow {
  readonly id: string;
  readonly serves: readonly string[];
  beatAt: number;
}

export interface FlowRow {
  readonly key: string;
  parallelism: number | null;
  rate: number | null;
  periodMs: number | null;
  paused: boolean;
  servedAt: number;
  /** starts in a 64th of the period each, by its end */
  windows: { readonly ends: number; readonly starts: number }[];
}

/** Priority of the task of a run that waits for its singleton key: no claim looks there. */
export const PARKED = 32767;
export const callQueue = (workflow: string): string => `${workflow}@call`;

/** What a run is before it is anything. */
export const NEW_RUN = {
  isCurrent: true,
  status: 'active',
  result: null,
  error: null,
  attempt: 1,
  endedFence: null,
  finishedAt: null,
  rollbacks: 0,
  unreported: false,
  uncascaded: false,
  cancellingAt: null,
} as const satisfies Partial<RunRow>;

/**
 * The tables and the indexes that statements need. One object is one database: many stores, each of a process of its own, may
 * work on it. A statement is a synchronous function over it, and so is atomic.
 */
export class MemoryTables {
  readonly runs = new Map<string, RunRow>();
  readonly current = new Map<string, RunRow>();
  readonly active = new Map<string, RunRow>();
  readonly steps = new Map<string, Map<string, JournalRow>>();
  readonly tasks = new Map<string, TaskRow>();
  readonly tasksOf = new Map<string, Map<string, TaskRow>>();
  readonly queues = new Map<string, Set<TaskRow>>();
  readonly messages = new Map<string, MessageRow>();
  readonly inboxes = new Map<string, Map<string, MessageRow>>();
  readonly kept = new Set<MessageRow>();
  readonly webhooks = new Map<string, { readonly execution: string; readonly key: string }>();
  readonly workers = new Map<string, WorkerRow>();
  readonly flows = new Map<string, FlowRow>();
  /** runs that owe something after their end */
  readonly owing = new Set<RunRow>();
  #runs = 0;
  #tasks = 0;

  addRun(row: Omit<RunRow, 'id' | 'execution'>): RunRow {
    const id = ++this.#runs;
    const run: RunRow = { ...row, id, execution: String(id) };
    this.runs.set(run.execution, run);
    this.active.set(run.execution, run);
    this.current.set(run.runId, run);
    this.steps.set(run.execution, new Map());
    return run;
  }

  addTask(
    task: Pick<TaskRow, 'execution' | 'queue' | 'kind' | 'stepKey' | 'flowKey' | 'priority' | 'dueAt'> & {
      owner?: string | null;
    },
  ): TaskRow {
    const id = ++this.#tasks;
    const { owner = null } = task;
    const row: TaskRow = {
      ...task,
      id,
      taskId: String(id),
      owner,
      fence: owner === null ? 0 : 1,
      turn: 0,
      wanted: 0,
      lost: 0,
      lostPosition: 0,
      gather: 0,
      stuck: null,
    };
    this.tasks.set(row.taskId, row);
    mapIn(this.tasksOf, row.execution).set(row.stepKey, row);
    const queue = this.queues.get(row.queue) ?? new Set();
    this.queues.set(row.queue, queue.add(row));
    return row;
  }

  requeue(row: TaskRow, queue: string): void {
    this.queues.get(row.queue)?.delete(row);
    row.queue = queue;
    this.queues.set(queue, (this.queues.get(queue) ?? new Set()).add(row));
  }

  removeTask(row: TaskRow): void {
    this.tasks.delete(row.taskId);
    this.queues.get(row.queue)?.delete(row);
    const own = this.tasksOf.get(row.execution);
    own?.delete(row.stepKey);
    if (own?.size === 0) this.tasksOf.delete(row.execution);
  }

  /** The task that advances a run; none once it has ended. */
  advanceOf(execution: string): TaskRow | undefined {
    return this.tasksOf.get(execution)?.get('');
  }

  /** All tasks of a run, in order of id. */
  tasksIn(execution: string): TaskRow[] {
    return [...(this.tasksOf.get(execution)?.values() ?? [])].toSorted((a, b) => a.id - b.id);
  }

  /** False when a message with that id is there: the statement is repeated. */
  addMessage(row: MessageRow): boolean {
    if (this.messages.has(row.id)) return false;
    this.messages.set(row.id, row);
    if (row.execution === null) this.kept.add(row);
    else mapIn(this.inboxes, row.execution).set(row.id, row);
    return true;
  }

  removeMessage(row: MessageRow): void {
    this.messages.delete(row.id);
    if (row.execution === null) this.kept.delete(row);
    else this.inboxes.get(row.execution)?.delete(row.id);
  }

  moveMessage(row: MessageRow, execution: string): void {
    this.removeMessage(row);
    this.addMessage({ ...row, execution });
  }

  inbox(execution: string): MessageRow[] {
    return [...(this.inboxes.get(execution)?.values() ?? [])];
  }

  putStep(execution: string, row: JournalRow): void {
    this.steps.get(execution)!.set(row.key, row);
    if (row.kind === 'webhook' && row.event !== null)
      this.webhooks.set(row.event, { execution, key: row.key });
  }

  stepsOf(execution: string): JournalRow[] {
    return [...(this.steps.get(execution)?.values() ?? [])];
  }

  /** True when an event has answered a wait of this run before. */
  hasTaken(execution: string, eventId: string): boolean {
    for (const step of this.steps.get(execution)?.values() ?? []) if (step.eventId === eventId) return true;
    return false;
  }

  endRun(run: RunRow, status: Exclude<RunRow['status'], 'active'>, now: number, fence: number | null): void {
    run.status = status;
    run.finishedAt = now;
    run.endedFence = fence;
    run.unreported = run.parentId !== null && status !== 'continued';
    run.uncascaded = status === 'cancelled';
    run.cancellingAt = null;
    this.active.delete(run.execution);
    this.owe(run);
  }

  owe(run: RunRow): void {
    if (run.unreported || run.uncascaded) this.owing.add(run);
    else this.owing.delete(run);
  }

  /** Wakes a run: something has arrived for it. */
  wake(task: TaskRow, now: number, arrived = 1): void {
    task.wanted += arrived;
    task.dueAt = Math.min(task.dueAt, now);
  }

  /** Called where a lease is given, where a lease holder writes, and where a header changes: for those who keep a history. */
  leased(_lease: Lease, _worker: string): void {}
  wrote(_lease: Lease, _turn: number | null): void {}
  changed(_run: RunRow, _what: 'result' | 'rollbacks' | 'cancelling'): void {}

  holderOf(singletonKey: string): RunRow | undefined {
    for (const run of this.active.values())
      if (run.singletonKey === singletonKey && run.singletonHeld) return run;
    return undefined;
  }
}

function mapIn<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const known = maps.get(key) ?? new Map<string, V>();
  maps.set(key, known);
  return known;
}

export const headerOf = (run: RunRow): RunHeader => ({
  execution: run.execution,
  runId: run.runId,
  workflow: run.workflow,
  version: run.version,
  payload: run.payload,
  labels: run.labels,
  attempt: run.attempt,
  createdAt: run.createdAt,
  deadlineAt: run.deadlineAt,
  depth: run.depth,
  child: run.parentId !== null,
  singleton: run.singletonKey,
  rollbacks: run.rollbacks,
  cancelling: run.cancellingAt !== null,
});
