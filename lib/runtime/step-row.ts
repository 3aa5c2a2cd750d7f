import { Logger } from '@nestjs/common';
import { NO_VALUE } from '../engine/arrivals.js';
import { encodeFailure, toFailure, type Failure } from '../engine/failure.js';
import type { Answer, JournalRow } from '../engine/journal.js';
import { afterLook, decodeFailures, encodeFailures, type PollTimes } from '../engine/poll.js';
import type { Ask, Outcome } from '../engine/replay.js';
import { decideRetry, DEFAULT_RETRY } from '../engine/retry.js';
import type { Codec } from '../ports/index.js';

const logger = new Logger('Workflow');

export interface ExecutedStep {
  readonly before: JournalRow;
  readonly outcome: Outcome;
  readonly attempt: number;
  readonly ask: Ask;
  readonly codec: Codec;
  /** when the attempt began, and now: ms by the database's clock */
  readonly startedAt: number;
  readonly now: number;
  /** in [0, 1), for the jitter */
  readonly random: number;
}

/** The row, and when it is looked at again; null: `row.answer` is the answer. */
export interface StepEndRow {
  readonly row: JournalRow;
  readonly retryAt: number | null;
}

/**
 * The row an executed attempt leaves: its answer (`retryAt` null), or the failed attempt, pending until `retryAt`; of a poll
 * also a look that found nothing. A result that cannot be encoded is a failure of the step. `finishedAt` is in whole ms, so that
 * ctx.now() does not depend on how the database rounds it.
 */
export function stepRow(executed: ExecutedStep): StepEndRow {
  const { before, attempt, ask, codec, now, random } = executed;
  const { poll } = ask.request;
  if (poll && executed.outcome.ok && executed.outcome.value === undefined)
    return lookRow(executed, poll, 'nothing');
  const outcome = encoded(executed.outcome, ask.key, codec);
  // each way copies the row once: it is on the way of every step
  if (outcome.ok) {
    const answer = { ok: true, value: outcome.value } as const;
    const request = poll ? null : before.request;
    const row = { ...before, attempts: attempt, finishedAt: Math.floor(now), answer, request };
    return { row, retryAt: null };
  }
  const failure = toFailure(outcome.error, now);
  if (poll) return lookRow(executed, poll, failure);
  const again = decideRetry({
    policy: ask.request.retry ?? DEFAULT_RETRY,
    attempts: attempt,
    failure,
    now,
    random,
  });
  if (again.retry) warn(ask, again.warning);
  const row = { ...before, attempts: attempt, finishedAt: Math.floor(now), answer: failed(failure) };
  return { row, retryAt: again.retry ? again.at : null };
}

/** The row of a poll after a look that did not find anything. */
function lookRow(executed: ExecutedStep, poll: PollTimes, seen: Failure | 'nothing'): StepEndRow {
  const { before, attempt, ask, startedAt, now, random } = executed;
  const next = afterLook({
    seen,
    poll,
    policy: ask.request.retry ?? DEFAULT_RETRY,
    askedAt: before.askedAt,
    startedAt,
    now,
    failures: decodeFailures(before.request),
    random,
  });
  warn(ask, next.warning);
  const done = { ...before, attempts: attempt, finishedAt: Math.floor(now) };
  const failure = seen === 'nothing' ? null : failed(seen);
  if (next.do === 'look')
    return { row: { ...done, answer: failure, request: encodeFailures(next.failures) }, retryAt: next.at };
  const answer: Answer | null = next.as === 'timed-out' ? { ok: true, value: NO_VALUE } : failure;
  return { row: { ...done, answer, request: null }, retryAt: null };
}

const failed = (failure: Failure): Answer => ({ ok: false, failure: encodeFailure(failure) });

function warn(ask: Ask, warning: string | undefined): void {
  if (warning !== undefined) logger.warn(`Step "${ask.key}": ${warning}`);
}

type Encoded =
  { readonly ok: true; readonly value: string } | { readonly ok: false; readonly error: unknown };

function encoded(outcome: Outcome, key: string, codec: Codec): Encoded {
  if (!outcome.ok) return outcome;
  try {
    return { ok: true, value: codec.encode(outcome.value, `result of step "${key}"`) };
  } catch (error) {
    return { ok: false, error };
  }
}
