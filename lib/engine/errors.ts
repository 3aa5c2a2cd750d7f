import { WorkflowError } from '../errors/index.js';
import { NON_RETRYABLE, RETRY_AFTER, STEP_FAILED, brand, readSafely, type StepFailure } from './brands.js';
import { parseDuration, type Duration } from './duration.js';
import type { Failure } from './failure.js';

/** Ends a step (or a run) as failed at once: thrown when another attempt is pointless. Meant to be subclassed. */
export class NonRetryableError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    brand(this, NON_RETRYABLE, true);
  }
}

/**
 * Fails this attempt and says when the next one may start, instead of the backoff (a `Retry-After` header, for one).
 * The attempt counts like any other.
 */
export class RetryAfterError extends Error {
  /**
   * @param after how long to wait, or from when on
   * @throws WorkflowError WF_INVALID_DURATION, or WF_INVALID_ARGUMENT for a Date that is none
   */
  constructor(message: string, after: Duration | Date, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    if (!(after instanceof Date)) {
      brand(this, RETRY_AFTER, { retryAfterMs: parseDuration(after) });
    } else if (Number.isNaN(after.getTime())) {
      throw new WorkflowError('WF_INVALID_ARGUMENT', 'RetryAfterError was given an invalid Date');
    } else {
      brand(this, RETRY_AFTER, { retryAt: after.getTime() });
    }
  }
}

/** What user code sees of a recorded failure. */
export interface FailureSummary {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly data?: unknown;
}

/**
 * A step has failed for good. This is what `run` catches, live and replayed: it is made of the recorded failure only, so
 * both are the same. `cause` is the recorded error, revived as a plain Error with its name, code, data and stack.
 */
export class StepFailedError extends WorkflowError {
  /** key of the step, such as `PaymentService.capture` or `PaymentService.capture#2` */
  readonly step: string;
  /** how often it was tried */
  readonly attempts: number;
  /** what the last attempt threw */
  readonly failure: FailureSummary;

  constructor(step: string, attempts: number, failure: Failure) {
    super('WF_STEP_FAILED', `Step "${step}" failed after ${count(attempts)} with ${headline(failure)}`, {
      cause: reviveFailure(failure),
    });
    this.step = step;
    this.attempts = attempts;
    this.failure = summaryOf(failure);
    brand(this, STEP_FAILED, { key: step, attempts, failure } satisfies StepFailure);
    // the frames of the engine tell nobody anything, and differ between live and replay; those of the step are in `cause`
    this.stack = `${this.name}: ${this.message}`;
  }

  /**
   * True when the step threw this class or a subclass of it. Class names are compared, as the error was recorded in
   * another process perhaps: two classes of one name are the same here, and a minifier must keep class names.
   */
  is<E extends Error>(type: abstract new (...args: any[]) => E): boolean {
    const { failure } = (this as unknown as { [STEP_FAILED]: StepFailure })[STEP_FAILED];
    return isOf(failure, type);
  }
}

/**
 * A child run that was invoked has failed, or was cancelled. `failure` is what it ended with; where a step of the child made it
 * fail, what that step threw, and `is` knows both.
 */
export class ChildFailedError extends StepFailedError {
  /** what the child ended with, or what its step threw that made it end so */
  override readonly failure: FailureSummary;

  constructor(
    step: string,
    /** of the child */
    readonly runId: string,
    failure: Failure,
  ) {
    super(step, 1, failure);
    this.failure = summaryOf((failure.step && failure.cause) ?? failure);
    this.message = `Child run ${runId} of step "${step}" ${this.cancelled ? 'was cancelled' : `failed ${where(failure)}`}`;
    this.stack = `${this.name}: ${this.message}`;
  }

  /** true: the child was cancelled; false: it failed */
  get cancelled(): boolean {
    return this.failure.code === 'WF_RUN_CANCELLED';
  }

  override is<E extends Error>(type: abstract new (...args: any[]) => E): boolean {
    const { failure } = (this as unknown as { [STEP_FAILED]: StepFailure })[STEP_FAILED];
    const inner = failure.step && failure.cause;
    return super.is(type) || (inner !== undefined && isOf(inner, type));
  }
}

/** One attempt of a step took longer than its `timeout`. */
export class StepTimeoutError extends WorkflowError {
  constructor(
    readonly step: string,
    /** the limit that was passed, in milliseconds */
    readonly timeoutMs: number,
  ) {
    super('WF_STEP_TIMEOUT', `Step "${step}" did not finish within ${timeoutMs} ms`);
  }
}

/** The run whose result was awaited has failed. `cause` is the recorded error. */
export class RunFailedError extends WorkflowError {
  readonly runId: string;
  readonly failure: FailureSummary;

  constructor(runId: string, failure: Failure) {
    super('WF_RUN_FAILED', `Run ${runId} failed ${where(failure)}`, { cause: reviveFailure(failure) });
    this.runId = runId;
    this.failure = summaryOf(failure);
  }
}

/** The run whose result was awaited, or that a step belongs to, was cancelled. */
export class RunCancelledError extends WorkflowError {
  constructor(readonly runId: string) {
    super('WF_RUN_CANCELLED', `Run ${runId} was cancelled`);
  }
}

/**
 * The code of a run asks for a recorded key as something else: it was changed under a run in flight. The run is kept,
 * stuck with retries, until fitting code is deployed.
 */
export class NonDeterminismError extends WorkflowError {
  /**
   * @param recorded what the journal holds: a kind (`step`, `sleep`), in strict mode with more behind it
   * (`step with arguments 1f0c…`)
   * @param asked the same of what the code asks for
   */
  constructor(
    readonly runId: string,
    readonly step: string,
    readonly recorded: string,
    readonly asked: string,
  ) {
    super(
      'WF_NON_DETERMINISM',
      `Step "${step}" of run ${runId} is recorded as ${article(recorded)}, but the code now runs it as ${article(asked)}`,
    );
  }
}

/**
 * A recorded failure as an error: a StepFailedError when it was one, otherwise a plain Error with its name, code, data,
 * cause and stack.
 */
export function reviveFailure(failure: Failure): Error {
  if (failure.step && failure.cause) {
    return new StepFailedError(failure.step.key, failure.step.attempts, failure.cause);
  }
  const error = new Error(failure.message, failure.cause && { cause: reviveFailure(failure.cause) });
  // not enumerable, as on errors that a class made: loggers would print it twice
  Object.defineProperty(error, 'name', { value: failure.name, writable: true, configurable: true });
  error.stack = failure.stack ?? `${failure.name}: ${failure.message}`;
  return Object.assign(
    error,
    failure.code !== undefined && { code: failure.code },
    failure.data !== undefined && { data: failure.data },
  );
}

/**
 * The StepFailedError in an error, its causes, or the errors of an AggregateError (`Promise.any`). A run that rejects
 * with one fails at once: that step had its retries, and another attempt of `run` would read the same journal.
 */
export function stepFailureIn(error: unknown): StepFailedError | undefined {
  const seen = new Set<unknown>();
  const queue: unknown[] = [error];
  // a Set ends cycles, the bound ends getters that make a new cause at each look
  while (queue.length > 0 && seen.size < 100) {
    const next = queue.shift();
    if (typeof next !== 'object' || next === null || seen.has(next)) continue;
    seen.add(next);
    if (readSafely(next, STEP_FAILED) !== undefined) return next as StepFailedError;
    queue.push(readSafely(next, 'cause'), ...listOf(readSafely(next, 'errors')));
  }
  return undefined;
}

function isOf(failure: Failure, type: abstract new (...args: any[]) => Error): boolean {
  return type.name === 'Error' || failure.name === type.name || (failure.names?.includes(type.name) ?? false);
}

function listOf(value: unknown): unknown[] {
  try {
    return Array.isArray(value) ? value.slice(0, 100) : [];
  } catch {
    return [];
  }
}

function summaryOf({ name, message, code, data }: Failure): FailureSummary {
  return { name, message, ...(code !== undefined && { code }), ...(data !== undefined && { data }) };
}

/** Without the advice of the inner error: the outer one ends with its own. */
function where(failure: Failure): string {
  return failure.step && failure.cause
    ? `at step "${failure.step.key}" after ${count(failure.step.attempts)} with ${headline(failure.cause)}`
    : `with ${headline(failure)}`;
}

function headline(failure: Failure): string {
  return failure.message === '' ? failure.name : `${failure.name}: ${failure.message}`;
}

function count(attempts: number): string {
  return attempts === 1 ? '1 attempt' : `${attempts} attempts`;
}

function article(kind: string): string {
  return `${/^[aeiou]/i.test(kind) ? 'an' : 'a'} ${kind}`;
}
