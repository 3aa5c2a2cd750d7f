import { NO_VALUE } from '../engine/arrivals.js';
import { decodeFailure, type Failure } from '../engine/failure.js';
import type { JournalRow } from '../engine/journal.js';
import type { Codec, RunRecord } from '../ports/index.js';
import type { FailureSummary } from '../engine/errors.js';
import type { JournalEntry, Run, RunError } from './types.js';

/** Rows as a person (or `switch (run.status)`) wants to see them. */
export function toRun<P, R>(record: RunRecord, codec: Codec): Run<P, R> {
  const head = {
    runId: record.runId,
    workflow: record.workflow,
    ...(record.version !== null && { version: record.version }),
    payload: codec.decode(record.payload) as P,
    labels: record.labels,
    attempt: record.attempt,
    createdAt: new Date(record.createdAt),
  };
  const { status } = record;
  switch (status) {
    case 'pending':
    case 'running':
    case 'waiting':
      return {
        ...head,
        status,
        ...(record.stuck !== null && { stuck: record.stuck }),
        ...(record.cancelling && { cancelling: true as const }),
      };
    case 'completed':
      return {
        ...head,
        status,
        result: codec.decode(record.result!) as R,
        finishedAt: new Date(record.finishedAt!),
      };
    case 'failed':
      return {
        ...head,
        status,
        error: errorOf(decodeFailure(record.error!)),
        finishedAt: new Date(record.finishedAt!),
      };
    case 'cancelled':
      return { ...head, status, finishedAt: new Date(record.finishedAt!) };
  }
}

export function toEntry(row: JournalRow, codec: Codec): JournalEntry {
  const { answer } = row;
  const timedOut =
    (row.kind === 'wait' && row.state === 'journaled' && row.eventId === null) ||
    (row.kind === 'poll' && answer?.ok === true && answer.value === NO_VALUE);
  const hasResult = answer?.ok === true && row.kind !== 'sleep' && row.kind !== 'patch' && !timedOut;
  return {
    key: row.key,
    kind: row.kind,
    state: row.state,
    position: row.position,
    attempts: row.attempts,
    ...(hasResult && { result: codec.decode(answer.value) }),
    ...(answer?.ok === false && { error: summary(decodeFailure(answer.failure)) }),
    ...(row.event !== null && { event: row.event }),
    ...(timedOut && { timedOut }),
    askedAt: new Date(row.askedAt),
    finishedAt: row.finishedAt === null ? null : new Date(row.finishedAt),
    wakeAt: row.wakeAt === null ? null : new Date(row.wakeAt),
  };
}

const summary = ({ name, message, code, data }: Failure): FailureSummary => ({
  name,
  message,
  ...(code !== undefined && { code }),
  ...(data !== undefined && { data }),
});

function errorOf(failure: Failure): RunError {
  for (let at: Failure | undefined = failure; at; at = at.cause) {
    if (at.step) return { ...summary(failure), step: at.step.key };
  }
  return summary(failure);
}
