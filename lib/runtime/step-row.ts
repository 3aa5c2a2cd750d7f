import { Logger } from '@nestjs/common';
import { encodeFailure, toFailure } from '../engine/failure.js';
import type { JournalRow } from '../engine/journal.js';
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
  readonly now: number;
  /** in [0, 1), for the jitter */
  readonly random: number;
}

/**
 * The row an executed attempt leaves: its answer (`retryAt` null), or the failed attempt, pending until `retryAt`.
 * A result that cannot be encoded is a failure of the step.
 */
export function stepRow(executed: ExecutedStep): { row: JournalRow; retryAt: number | null } {
  const { before, attempt, ask, codec, now, random } = executed;
  const outcome = encoded(executed.outcome, ask.key, codec);
  const done = { ...before, attempts: attempt, finishedAt: now };
  if (outcome.ok) return { row: { ...done, answer: { ok: true, value: outcome.value } }, retryAt: null };
  const failure = toFailure(outcome.error, now);
  const again = decideRetry({
    policy: ask.request.retry ?? DEFAULT_RETRY,
    attempts: attempt,
    failure,
    now,
    random,
  });
  if (again.retry && again.warning !== undefined) logger.warn(`Step "${ask.key}": ${again.warning}`);
  return {
    row: { ...done, answer: { ok: false, failure: encodeFailure(failure) } },
    retryAt: again.retry ? again.at : null,
  };
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
