import type { Failure } from './failure.js';

/**
 * Marks by which errors are recognised instead of `instanceof`, which fails between two copies of the package
 * (a monorepo with two versions, a test runner with two module graphs).
 */
export const NON_RETRYABLE: unique symbol = Symbol.for('nestjs-workflow:non-retryable');
export const RETRY_AFTER: unique symbol = Symbol.for('nestjs-workflow:retry-after');
export const STEP_FAILED: unique symbol = Symbol.for('nestjs-workflow:step-failed');

/** What a `RetryAfterError` asks for: one of the two. */
export interface RetryAfter {
  readonly retryAfterMs?: number;
  /** ms since epoch */
  readonly retryAt?: number;
}

/** What a `StepFailedError` was made of. */
export interface StepFailure {
  readonly key: string;
  readonly attempts: number;
  readonly failure: Failure;
}

/** Property of something unknown; undefined when there is none, or when reading it throws (getters, Proxies). */
export function readSafely(from: unknown, key: PropertyKey): unknown {
  try {
    return (from as Record<PropertyKey, unknown> | null | undefined)?.[key];
  } catch {
    return undefined;
  }
}

/** Puts a mark on an error where neither a log nor an equality check sees it. */
export function brand(error: Error, mark: symbol, value: unknown): void {
  Object.defineProperty(error, mark, { value });
}
