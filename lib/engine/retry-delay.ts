import { WorkflowError } from '../errors/index.js';
import { delayExpression } from './delay-expression.js';
import { parseDuration, type Duration } from './duration.js';
import { toFailure, type Failure } from './failure.js';
import { shown } from './shown.js';

/**
 * A delay as text: a duration, or an expression in milliseconds such as `'pow(2, retried) * 1000'`.
 * An expression that does not mention `retried` is written as a duration, and does not compile: a mistyped duration
 * (`'10 sec'`) would be one.
 */
export type RetryDelayText = Duration | `${string}retried${string}`;

/**
 * A delay as code: called after each failed attempt that is tried again, with the number of retries before (0 for the
 * first) and what was thrown. Gives a duration, or milliseconds. Not awaited.
 */
export type RetryDelayFunction = (retried: number, error: Failure) => Duration | number;

/** The longest delay that is computed (by an expression or as a number), and that a server can ask for. */
export const MAX_COMPUTED_MS = 86_400_000;

/** @throws WorkflowError WF_INVALID_OPTIONS, naming the option, its value and what is wrong */
export function checkRetryDelay(delay: unknown): asserts delay is RetryDelayText | RetryDelayFunction {
  if (typeof delay === 'function') return;
  if (typeof delay !== 'string') {
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      `Option \`retryDelay\` is ${shownDelay(delay)}, and must be a duration such as '30s', an expression of \`retried\`, or a function`,
    );
  }
  if (durationOf(delay) !== undefined) return;
  try {
    delayExpression(delay);
  } catch (cause) {
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      `Option \`retryDelay\` is ${shownDelay(delay)}, which is neither a duration nor an expression: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** Whole milliseconds, or why there are none. */
export type ComputedDelay =
  { readonly ok: true; readonly ms: number } | { readonly ok: false; readonly why: string };

/**
 * The delay before the next attempt. A duration is taken as it is; what is computed in milliseconds is held between 0 and
 * 24 hours. Never throws: what is no delay (NaN, an exception, a promise) is told with the reason, and the backoff counts.
 * @param retried retries before this one; 0 for the first
 */
export function retryDelayMs(
  delay: string | RetryDelayFunction,
  retried: number,
  failure: Failure,
): ComputedDelay {
  try {
    const given: unknown = typeof delay === 'function' ? delay(retried, failure) : computed(delay, retried);
    const ms = typeof given === 'string' ? durationOf(given) : held(given);
    if (ms !== undefined) return { ok: true, ms };
    // an async function: nobody waits for it, and its rejection must not end the process
    if (given instanceof Promise) given.catch(() => {});
    return { ok: false, why: `gave a value that is no delay: ${shownDelay(given)}` };
  } catch (error) {
    const { name, message } = toFailure(error);
    return { ok: false, why: `threw ${name}: ${message}` };
  }
}

function computed(text: string, retried: number): unknown {
  return durationOf(text) === undefined ? delayExpression(text)(retried) : text;
}

function durationOf(text: string): number | undefined {
  try {
    return parseDuration(text as Duration);
  } catch {
    return undefined;
  }
}

function held(value: unknown): number | undefined {
  if (typeof value !== 'number' || Number.isNaN(value)) return undefined;
  return Math.round(Math.min(MAX_COMPUTED_MS, Math.max(0, value)));
}

function shownDelay(value: unknown): string {
  const plain =
    typeof value === 'string' || typeof value === 'number' || value === undefined || value === null;
  return plain ? shown(value) : `of type ${typeof value}`;
}
