import { WorkflowError } from '../errors/index.js';
import { stepFailureIn } from './errors.js';
import { encodeFailure, toFailure, type Failure } from './failure.js';
import { FAILURE_KEY, type JournalRow } from './journal.js';
import type { Outcome } from './replay.js';
import { decideRetry, type RetryPolicy } from './retry.js';

/** Where a run stands when its code has ended, or may not go on. */
export interface RunState {
  /** of `run` itself, from 1 */
  readonly attempt: number;
  readonly policy: RetryPolicy;
  /** there is a method marked @OnFailure */
  readonly handlesFailure: boolean;
  /** what the run has failed with, while that method runs */
  readonly failed: Failure | undefined;
  readonly now: number;
  /** in [0, 1), for the jitter */
  readonly random: number;
}

/** What follows for the run. */
export type Transition =
  | { readonly to: 'completed'; readonly value: unknown }
  /** `run` is tried again, against the same journal */
  | {
      readonly to: 'retry';
      readonly at: number;
      readonly failure: Failure;
      /** see {@link RetryDecision} */
      readonly warning?: string;
    }
  /** failed for good: its @OnFailure method comes next */
  | { readonly to: 'on-failure'; readonly failure: Failure }
  | { readonly to: 'failed'; readonly failure: Failure };

/**
 * What follows when the code has ended. A run that rejects with a journaled step failure fails at once: that step had its
 * retries, and another attempt would read the same journal. An @OnFailure method that fails changes nothing: the run has
 * failed with what it failed with.
 */
export function afterOutcome(outcome: Outcome, state: RunState): Transition {
  if (state.failed) return { to: 'failed', failure: state.failed };
  if (outcome.ok) return { to: 'completed', value: outcome.value };
  const failure = toFailure(outcome.error, state.now);
  if (stepFailureIn(outcome.error)) return afterFailure(failure, state);
  const again = decideRetry({
    policy: state.policy,
    attempts: state.attempt,
    failure,
    now: state.now,
    random: state.random,
  });
  if (!again.retry) return afterFailure(failure, state);
  const { at, warning } = again;
  return { to: 'retry', at, failure, ...(warning !== undefined && { warning }) };
}

/** What follows when the run has failed for good. */
export function afterFailure(
  failure: Failure,
  { failed, handlesFailure }: Pick<RunState, 'failed' | 'handlesFailure'>,
): Transition {
  return failed || !handlesFailure
    ? { to: 'failed', failure: failed ?? failure }
    : { to: 'on-failure', failure };
}

/** The journal row that separates what `run` did from what @OnFailure does. */
export function failureRow(failure: Failure, position: number, attempt: number, now: number): JournalRow {
  return {
    key: FAILURE_KEY,
    name: FAILURE_KEY,
    kind: 'failure',
    state: 'journaled',
    position,
    answer: { ok: false, failure: encodeFailure(failure) },
    attempts: attempt,
    askedAt: now,
    finishedAt: now,
    wakeAt: null,
    event: null,
    eventId: null,
    dispatched: false,
    digest: null,
    request: null,
  };
}

/** How often an activation may be looked at again because the code asked for a step too late. */
const MAX_GATHERS = 5;

export interface RunLimits {
  readonly runId: string;
  readonly now: number;
  readonly deadlineAt: number | null;
  readonly position: number;
  readonly maxSteps: number;
  readonly lost: number;
  readonly maxLosses: number;
  readonly gather: number;
}

/** The limit that keeps a run from going on. */
export function limitReached(run: RunLimits): WorkflowError | undefined {
  const { runId, now, deadlineAt, position, maxSteps, lost, maxLosses, gather } = run;
  if (deadlineAt !== null && deadlineAt <= now) {
    return new WorkflowError('WF_RUN_TIMEOUT', `Run ${runId} did not finish within its timeout`);
  }
  if (position >= maxSteps) {
    return new WorkflowError('WF_MAX_STEPS', `Run ${runId} has reached ${maxSteps} journal entries`);
  }
  if (lost >= maxLosses) return workerLost(`Run ${runId}`, lost);
  if (gather > MAX_GATHERS) {
    const what = `Run ${runId} keeps asking for steps after something that is not durable`;
    return new WorkflowError('WF_ASYNC_OUTSIDE_STEP', what);
  }
  return undefined;
}

/** A step that kills its process must not take down the fleet, one process after the other. */
export const workerLost = (what: string, times: number): WorkflowError =>
  new WorkflowError(
    'WF_WORKER_LOST',
    `${what} was given up: the process that worked on it was lost ${times} times without progress`,
  );
