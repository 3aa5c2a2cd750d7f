import { WorkflowError } from '../errors/index.js';
import { parseDuration, type Duration } from './duration.js';
import type { Failure } from './failure.js';
import {
  checkRetryDelay,
  retryDelayMs,
  type RetryDelayFunction,
  type RetryDelayText,
} from './retry-delay.js';
import { shown } from './shown.js';

/** Retry options that can be stored as JSON: those of work that is done without the code of the workflow at hand. */
export interface StorableRetryOptions {
  /** attempts after the first one @default 3 */
  retries?: number;
  /** delay before attempt n+1: `min(max, initial * factor^(n-1))`, with jitter a random 50 to 100 % of it
   * @default { initial: '1s', factor: 2, max: '5m', jitter: true } */
  backoff?: { initial?: Duration; factor?: number; max?: Duration; jitter?: boolean };
  /** instead of `backoff`, without jitter: a duration (`'10s'`: always that), or an expression in milliseconds as in
   * Upstash Workflow (`'pow(2, retried) * 1000'`), held between 0 and 24 hours; `retried` is 0 for the first retry */
  retryDelay?: RetryDelayText;
}

/** How a failed attempt is repeated. */
export interface RetryOptions extends Omit<StorableRetryOptions, 'retryDelay'> {
  /** instead of `backoff`, without jitter: a duration (`'10s'`: always that), an expression in milliseconds as in Upstash
   * Workflow (`'pow(2, retried) * 1000'`), or a function that gives a duration or milliseconds. What is computed in
   * milliseconds is held between 0 and 24 hours; `retried` is 0 for the first retry. When it gives no delay (NaN, an
   * exception) the backoff counts, with a warning */
  retryDelay?: RetryDelayText | RetryDelayFunction;
}

/** Retry options with every field decided and checked. Plain JSON when `delay` is. */
export interface RetryPolicy<Delay extends string | RetryDelayFunction = string | RetryDelayFunction> {
  /** attempts after the first one; a whole number, 0 or more */
  readonly retries: number;
  /** delay after the first failed attempt, in milliseconds */
  readonly initialMs: number;
  /** what the delay is multiplied by after each further failure; 1 or more */
  readonly factor: number;
  /** the longest delay, in milliseconds; a smaller `initialMs` is not required */
  readonly maxMs: number;
  readonly jitter: boolean;
  /** counts instead of all of these but `retries`: a duration, an expression, or a function */
  readonly delay?: Delay;
}

/** What applies where nobody says otherwise: 3 retries, from 1 s doubling up to 5 min, with jitter. */
export const DEFAULT_RETRY: RetryPolicy<never> = {
  retries: 3,
  initialMs: 1000,
  factor: 2,
  maxMs: 300_000,
  jitter: true,
};

/**
 * One policy out of several layers: for each field the first layer that defines it wins, then `DEFAULT_RETRY`. The first
 * layer that defines `retryDelay` or `backoff` says which of the two it is.
 * For a step the layers are its own options, the workflow's `stepDefaults`, the module's `steps`.
 * @throws WorkflowError WF_INVALID_OPTIONS naming the field and its value, also for both of them in one layer
 */
export function resolveRetry(...layers: readonly (RetryOptions | undefined)[]): RetryPolicy {
  const first = <T>(pick: (layer: RetryOptions) => T | undefined): T | undefined => {
    for (const layer of layers) {
      const value = layer && pick(layer);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const retries = first((layer) => layer.retries) ?? DEFAULT_RETRY.retries;
  if (!Number.isSafeInteger(retries) || retries < 0) {
    refuse('retries', retries, 'a whole number, 0 or more');
  }
  const factor = first((layer) => layer.backoff?.factor) ?? DEFAULT_RETRY.factor;
  if (!Number.isFinite(factor) || factor < 1) refuse('backoff.factor', factor, 'a number, 1 or more');
  const jitter = first((layer) => layer.backoff?.jitter) ?? DEFAULT_RETRY.jitter;
  if (typeof jitter !== 'boolean') refuse('backoff.jitter', jitter, 'true or false');
  const initial = first((layer) => layer.backoff?.initial);
  const max = first((layer) => layer.backoff?.max);
  const delay = delayOf(layers);
  return {
    retries,
    initialMs: initial === undefined ? DEFAULT_RETRY.initialMs : durationOf('backoff.initial', initial),
    factor,
    maxMs: max === undefined ? DEFAULT_RETRY.maxMs : durationOf('backoff.max', max),
    jitter,
    ...(delay !== undefined && { delay }),
  };
}

/**
 * The same for work whose policy is stored: a function cannot be, so that one among the `defaults` is passed over, and
 * the next layer says what the delay is.
 * @throws WorkflowError WF_INVALID_OPTIONS, also for a function in `own`
 */
export function resolveStorableRetry(
  own: StorableRetryOptions | undefined,
  ...defaults: readonly (RetryOptions | undefined)[]
): RetryPolicy<string> {
  if (typeof own?.retryDelay === 'function') {
    refuse(
      'retryDelay',
      'a function',
      "a duration such as '30s' or an expression of `retried` here: it is stored",
    );
  }
  const storable = defaults.map((layer) => {
    if (typeof layer?.retryDelay !== 'function') return layer;
    const { retryDelay: _, ...rest } = layer;
    return rest;
  });
  return resolveRetry(own, ...storable) as RetryPolicy<string>;
}

function delayOf(layers: readonly (RetryOptions | undefined)[]): RetryPolicy['delay'] {
  for (const layer of layers) {
    if (layer?.retryDelay !== undefined && layer.backoff !== undefined) {
      throw new WorkflowError(
        'WF_INVALID_OPTIONS',
        'Options `retryDelay` and `backoff` are given together, and each says how long to wait',
      );
    }
  }
  const delay = layers.find(
    (layer) => layer?.retryDelay !== undefined || layer?.backoff !== undefined,
  )?.retryDelay;
  if (delay !== undefined) checkRetryDelay(delay);
  return delay;
}

function durationOf(field: string, value: Duration): number {
  try {
    return parseDuration(value);
  } catch (cause) {
    return refuse(field, value, "a duration such as '30s'", cause);
  }
}

function refuse(field: string, value: unknown, wanted: string, cause?: unknown): never {
  throw new WorkflowError(
    'WF_INVALID_OPTIONS',
    `Option \`${field}\` is ${shown(value)}, and must be ${wanted}`,
    { cause },
  );
}

/**
 * Delay before the next attempt, in whole milliseconds: `min(max, initial * factor^(n-1))` after n failed attempts,
 * with jitter times `0.5 + random / 2`.
 *
 * Exponential backoff with "equal jitter", from Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
 * 2015: half of the delay is kept, so that a struggling service surely gets a pause, and half is spread, so that many
 * runs that failed together do not come back together.
 * @param failedAttempts 1 or more
 * @param random in [0, 1); without jitter it is not looked at
 */
export function backoffMs(policy: RetryPolicy, failedAttempts: number, random: number): number {
  const grown = policy.initialMs * policy.factor ** Math.max(0, failedAttempts - 1);
  // 0 * Infinity is NaN: an initial delay of zero stays zero, however often it is multiplied
  const capped = Number.isNaN(grown) ? 0 : Math.min(policy.maxMs, grown);
  return Math.round(policy.jitter ? capped * (0.5 + random / 2) : capped);
}

/** Whether there is another attempt, and from when on. */
export type RetryDecision =
  | {
      readonly retry: true;
      /** ms since epoch */
      readonly at: number;
      /** `retryDelay` gave no delay, and why: the backoff counts; to be logged */
      readonly warning?: string;
    }
  | { readonly retry: false };

/**
 * What follows a failed attempt. A failure marked `retryable: false` is final; otherwise there is a retry while
 * `attempts <= retries`. When the failure says from when on (`RetryAfterError`, a `Retry-After` header), that counts
 * instead of `retryDelay` or the backoff; a moment in the past means at once.
 */
export function decideRetry(input: {
  readonly policy: RetryPolicy;
  /** finished attempts, the failed one included; 1 or more */
  readonly attempts: number;
  readonly failure: Failure;
  /** ms since epoch, by the clock of the database */
  readonly now: number;
  /** in [0, 1) */
  readonly random: number;
}): RetryDecision {
  const { policy, attempts, failure, now, random } = input;
  if (failure.retryable === false || attempts > policy.retries) return { retry: false };
  if (failure.retryAt !== undefined) return { retry: true, at: Math.max(now, failure.retryAt) };
  if (failure.retryAfterMs !== undefined) return { retry: true, at: now + failure.retryAfterMs };
  const delay = policy.delay === undefined ? undefined : retryDelayMs(policy.delay, attempts - 1, failure);
  if (delay?.ok) return { retry: true, at: now + delay.ms };
  const at = now + backoffMs(policy, attempts, random);
  return { retry: true, at, ...(delay && { warning: `retryDelay ${delay.why}; the backoff counts` }) };
}
