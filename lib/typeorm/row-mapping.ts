import { versionName } from '../engine/version.js';
import type { InboxMessage, JournalRow, StepKind } from '../engine/journal.js';
import type { RunHeader, RunRecord, RunStatus, Task } from '../ports/index.js';

export interface StepColumns {
  key: string;
  name: string;
  kind: string;
  state: 'pending' | 'answered' | 'journaled';
  position: number | null;
  value: string | null;
  failure: string | null;
  attempts: number;
  asked_at: number;
  finished_at: number | null;
  wake_at: number | null;
  event: string | null;
  event_id: string | null;
  dispatched: boolean;
  digest: string | null;
  request: string | null;
}

export function toJournalRow(c: StepColumns): JournalRow {
  return {
    key: c.key,
    name: c.name,
    kind: c.kind as StepKind,
    state: c.state,
    position: c.position,
    answer:
      c.failure !== null
        ? { ok: false, failure: c.failure }
        : c.value !== null
          ? { ok: true, value: c.value }
          : null,
    attempts: c.attempts,
    askedAt: c.asked_at,
    finishedAt: c.finished_at,
    wakeAt: c.wake_at,
    event: c.event,
    eventId: c.event_id,
    dispatched: c.dispatched,
    digest: c.digest,
    request: c.request,
  };
}

export const valueOf = (row: JournalRow): string | null => (row.answer?.ok ? row.answer.value : null);
export const failureOf = (row: JournalRow): string | null =>
  row.answer && !row.answer.ok ? row.answer.failure : null;

export interface HeaderColumns {
  execution: string;
  run_id: string;
  workflow: string;
  version: string | null;
  payload: string;
  labels: string[];
  attempt: number;
  created_at: number;
  deadline_at: number | null;
  depth: number;
  child: boolean;
  singleton_key: string | null;
  rollbacks: number;
  cancelling: boolean;
}

export function toHeader(c: HeaderColumns): RunHeader {
  return {
    execution: c.execution,
    runId: c.run_id,
    workflow: c.workflow,
    version: c.version,
    payload: c.payload,
    labels: c.labels,
    attempt: c.attempt,
    createdAt: c.created_at,
    deadlineAt: c.deadline_at,
    depth: c.depth,
    child: c.child,
    singleton: c.singleton_key,
    rollbacks: c.rollbacks,
    cancelling: c.cancelling,
  };
}

export interface RecordColumns extends HeaderColumns {
  status: RunStatus;
  result: string | null;
  error: string | null;
  finished_at: number | null;
  stuck: string | null;
  unserved: boolean | null;
}

export function toRecord(c: RecordColumns): RunRecord {
  return {
    ...toHeader(c),
    status: c.status,
    result: c.result,
    error: c.error,
    finishedAt: c.finished_at,
    stuck: c.stuck ?? (c.unserved ? unserved(c.workflow, c.version) : null),
  };
}

const unserved = (workflow: string, version: string | null): string =>
  `No process serves workflow ${versionName(workflow, version)}`;

export interface LoadHead {
  execution: string;
  runId: string;
  workflow: string;
  version: string | null;
  labels: string[];
  attempt: number;
  createdAt: number;
  deadlineAt: number | null;
  depth: number;
  child: boolean;
  singleton: string | null;
  keyed: boolean;
  paced: boolean;
  rollbacks: number;
  cancelling: boolean;
  step: string | null;
  wanted: number;
  turn: number;
  gather: number;
  lost: number;
  now: number;
}

export type MessageHead = Omit<InboxMessage, 'data'>;

/** What a claim gives; without a task, one row of nulls. */
export interface TaskColumns {
  task_id: string | null;
  fence: number;
  execution: string;
  workflow: string;
  kind: Task['kind'];
  step_key: string;
  flow: boolean;
  run_id: string;
  version: string | null;
}

export const toTasks = (rows: readonly TaskColumns[]): Task[] =>
  rows
    .filter((row) => row.task_id !== null)
    .map((row) => ({
      taskId: row.task_id!,
      fence: row.fence,
      execution: row.execution,
      runId: row.run_id,
      workflow: row.workflow,
      version: row.version,
      step: row.step_key === '' ? null : row.step_key,
      kind: row.kind,
      flow: row.flow,
    }));

/** The queues a claim looks into, and how many places each may fill: those of calls stand behind those of the workflows. */
export function queuesOf(
  workflows: readonly string[],
  limit: number,
  calls: number,
): { queues: readonly string[]; places: number[] } {
  const queues = calls > 0 ? [...workflows, ...workflows.map((workflow) => `${workflow}@call`)] : workflows;
  return { queues, places: queues.map((_, i) => (i < workflows.length ? limit : calls)) };
}
