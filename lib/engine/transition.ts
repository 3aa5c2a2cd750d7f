import { WorkflowError } from '../errors/index.js';
import { RunCancelledError, stepFailureIn } from './errors.js';
import { decodeFailure, encodeFailure, toFailure, type Failure } from './failure.js';
import { FAILURE_KEY, type JournalRow } from './journal.js';
import type { Outcome } from './replay.js';
import { decideRetry, type RetryPolicy } from './retry.js';

/** What the code of a run does: `run` itself; then, once it has failed or is cancelled, what undoes it; then @OnFailure. */
export type Phase = 'run' | 'rollback' | 'on-failure';

/** Each phase has a key space of its own. */
export const PREFIXES: Readonly<Record<Phase, string>> = {
  run: '',
  rollback: 'rollback/',
  'on-failure': 'onFailure/',
};

/** How `run` has ended when it is not by its return: recorded before anything is undone. */
export interface Ended {
  readonly failure: Failure;
  /** true: it was cancelled, and will end so */
  readonly cancelled: boolean;
  /** how many compensations were registered by then */
  readonly rollbacks: number;
}

/** Where a run stands when its code has ended, or may not go on. */
export interface RunState {
  /** of `run` itself, from 1 */
  readonly attempt: number;
  readonly policy: RetryPolicy;
  readonly phase: Phase;
  /** compensations that `run` has registered */
  readonly rollbacks: number;
  /** there is a method marked @OnFailure */
  readonly handlesFailure: boolean;
  /** set in every phase but the first */
  readonly ended: Ended | undefined;
  /** it was cancelled from outside, perhaps after it had failed */
  readonly cancelling: boolean;
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
  /** ended for good: what was done is undone first */
  | { readonly to: 'rollback'; readonly ended: Ended }
  /** failed for good: its @OnFailure method comes next */
  | { readonly to: 'on-failure'; readonly ended: Ended }
  | { readonly to: 'failed'; readonly failure: Failure }
  | { readonly to: 'cancelled' };

/**
 * What follows when the code has ended. A run that rejects with a journaled step failure fails at once: that step had its
 * retries, and another attempt would read the same journal. Compensations or an @OnFailure method that fail change nothing:
 * the run has failed with what it failed with.
 */
export function afterOutcome(outcome: Outcome, state: RunState): Transition {
  if (state.ended) return afterPhase(state.ended, state);
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

type Standing = Pick<RunState, 'phase' | 'rollbacks' | 'handlesFailure' | 'ended' | 'cancelling'>;

/** What follows when the run has failed for good, or (once it has) when the phase it is in may not go on. */
export function afterFailure(failure: Failure, state: Standing): Transition {
  if (state.ended) return afterPhase(state.ended, state);
  return afterRun({ failure, cancelled: false, rollbacks: state.rollbacks }, state);
}

/** What follows when the run is cancelled, from inside or outside. */
export function afterCancel(runId: string, state: Standing): Transition {
  if (state.phase !== 'run') return { to: 'cancelled' };
  const failure = toFailure(new RunCancelledError(runId));
  return afterRun({ failure, cancelled: true, rollbacks: state.rollbacks }, state);
}

function afterRun(ended: Ended, state: Standing): Transition {
  return ended.rollbacks > 0 ? { to: 'rollback', ended } : afterRollback(ended, state);
}

function afterPhase(ended: Ended, state: Standing): Transition {
  return state.phase === 'rollback' ? afterRollback(ended, state) : { to: 'failed', failure: ended.failure };
}

function afterRollback(ended: Ended, { handlesFailure, cancelling }: Standing): Transition {
  if (ended.cancelled || cancelling) return { to: 'cancelled' };
  return handlesFailure ? { to: 'on-failure', ended } : { to: 'failed', failure: ended.failure };
}

/** The journal row that separates what `run` did from what comes after it. */
export function endedRow(ended: Ended, position: number, attempt: number, now: number): JournalRow {
  return {
    key: FAILURE_KEY,
    name: FAILURE_KEY,
    kind: 'failure',
    state: 'journaled',
    position,
    answer: { ok: false, failure: encodeFailure(ended.failure) },
    attempts: attempt,
    askedAt: now,
    finishedAt: now,
    wakeAt: null,
    event: null,
    eventId: null,
    dispatched: false,
    digest: null,
    request: `${ended.cancelled ? 'cancelled' : 'failed'} ${ended.rollbacks}`,
  };
}

/** What that row says; undefined while `run` has not ended. */
export function endedOf(row: JournalRow | undefined): Ended | undefined {
  if (row?.answer?.ok !== false) return undefined;
  const [how, rollbacks] = row.request?.split(' ') ?? [];
  return {
    failure: decodeFailure(row.answer.failure),
    cancelled: how === 'cancelled',
    rollbacks: Number(rollbacks ?? 0),
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
