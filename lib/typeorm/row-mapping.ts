import type { InboxMessage, JournalRow, StepKind } from '../engine/journal.js';
import type { RunHeader, RunRecord, RunStatus } from '../ports/index.js';

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
  };
}

export interface RecordColumns extends HeaderColumns {
  status: RunStatus;
  result: string | null;
  error: string | null;
  finished_at: number | null;
  stuck: string | null;
}

export function toRecord(c: RecordColumns): RunRecord {
  return {
    ...toHeader(c),
    status: c.status,
    result: c.result,
    error: c.error,
    finishedAt: c.finished_at,
    stuck: c.stuck,
  };
}

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
  wanted: number;
  turn: number;
  gather: number;
  lost: number;
  now: number;
}

export type MessageHead = Omit<InboxMessage, 'data'>;

/** A text array as PostgreSQL writes it: unnest would flatten arrays of arrays. */
export function textArray(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`;
}
