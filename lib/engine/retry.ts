import { WorkflowError } from '../errors/index.js';
import { parseDuration, type Duration } from './duration.js';
import type { Failure } from './failure.js';

/** How a failed attempt is repeated. */
export interface RetryOptions {
  /** attempts after the first one @default 3 */
  retries?: number;
  /** delay before attempt n+1: `min(max, initial * factor^(n-1))`, with jitter a random 50 to 100 % of it
   * @default { initial: '1s', factor: 2, max: '5m', jitter: true } */
  backoff?: { initial?: Duration; factor?: number; max?: Duration; jitter?: boolean };
}

/** Retry options with every field decided and checked. */
export interface RetryPolicy {
  /** attempts after the first one; a whole number, 0 or more */
  readonly retries: number;
  /** delay after the first failed attempt, in milliseconds */
  readonly initialMs: number;
  /** what the delay is multiplied by after each further failure; 1 or more */
  readonly factor: number;
  /** the longest delay, in milliseconds; a smaller `initialMs` is not required */
  readonly maxMs: number;
  readonly jitter: boolean;
}

/** What applies where nobody says otherwise: 3 retries, from 1 s doubling up to 5 min, with jitter. */
export const DEFAULT_RETRY: RetryPolicy = {
  retries: 3,
  initialMs: 1000,
  factor: 2,
  maxMs: 300_000,
  jitter: true,
};

/**
 * One policy out of several layers: for each field the first layer that defines it wins, then `DEFAULT_RETRY`.
 * For a step the layers are its own options, the workflow's `stepDefaults`, the module's `steps`.
 * @throws WorkflowError WF_INVALID_OPTIONS naming the field and its value
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
  return {
    retries,
    initialMs: initial === undefined ? DEFAULT_RETRY.initialMs : durationOf('backoff.initial', initial),
    factor,
    maxMs: max === undefined ? DEFAULT_RETRY.maxMs : durationOf('backoff.max', max),
    jitter,
  };
}

function durationOf(field: string, value: Duration): number {
  try {
    return parseDuration(value);
  } catch (cause) {
    return refuse(field, value, "a duration such as '30s'", cause);
  }
}

function refuse(field: string, value: unknown, wanted: string, cause?: unknown): never {
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
  throw new WorkflowError('WF_INVALID_OPTIONS', `Option \`${field}\` is ${shown}, and must be ${wanted}`, {
    cause,
  });
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
  { readonly retry: true; /** ms since epoch */ readonly at: number } | { readonly retry: false };

/**
 * What follows a failed attempt. A failure marked `retryable: false` is final; otherwise there is a retry while
 * `attempts <= retries`. When the failure says from when on (`RetryAfterError`), that counts instead of the backoff;
 * a moment in the past means at once.
 */
export function decideRetry(input: {
  readonly policy: RetryPolicy;
  /** finished attempts, the failed one included; 1 or more */
  readonly attempts: number;
  readonly failure: Pick<Failure, 'retryable' | 'retryAfterMs' | 'retryAt'>;
  /** ms since epoch, by the clock of the database */
  readonly now: number;
  /** in [0, 1) */
  readonly random: number;
}): RetryDecision {
  const { policy, attempts, failure, now, random } = input;
  if (failure.retryable === false || attempts > policy.retries) return { retry: false };
  if (failure.retryAt !== undefined) return { retry: true, at: Math.max(now, failure.retryAt) };
  return { retry: true, at: now + (failure.retryAfterMs ?? backoffMs(policy, attempts, random)) };
}
