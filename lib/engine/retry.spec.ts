import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import { DEFAULT_RETRY, backoffMs, decideRetry, resolveRetry, type RetryOptions } from './retry.js';

describe('resolveRetry', () => {
  it('gives the defaults when nobody says anything', () => {
    expect(resolveRetry()).toEqual(DEFAULT_RETRY);
    expect(resolveRetry(undefined, {}, { backoff: {} })).toEqual(DEFAULT_RETRY);
  });

  it('takes each field from the first layer that defines it', () => {
    const step: RetryOptions = { retries: 0, backoff: { max: '1h' } };
    const workflow: RetryOptions = { retries: 9, backoff: { initial: '50ms', jitter: false } };
    const module: RetryOptions = { backoff: { initial: '9s', factor: 1, max: '9s', jitter: true } };
    expect(resolveRetry(step, undefined, workflow, module)).toEqual({
      retries: 0,
      initialMs: 50,
      factor: 1,
      maxMs: 3_600_000,
      jitter: false,
    });
  });

  it.each<[unknown, string]>([
    [{ retries: -1 }, 'Option `retries` is -1, and must be a whole number, 0 or more.'],
    [{ retries: NaN }, '`retries` is NaN'],
    [{ retries: 1.5 }, '`retries` is 1.5'],
    [{ retries: Infinity }, '`retries` is Infinity'],
    [{ retries: '3' }, '`retries` is "3"'],
    [{ backoff: { factor: 0.5 } }, '`backoff.factor` is 0.5, and must be a number, 1 or more.'],
    [{ backoff: { factor: Infinity } }, '`backoff.factor` is Infinity'],
    [{ backoff: { jitter: 'yes' } }, '`backoff.jitter` is "yes"'],
    [{ backoff: { initial: '-1s' } }, '`backoff.initial` is "-1s", and must be a duration'],
    [{ backoff: { max: 5 } }, '`backoff.max` is 5'],
  ])('%j is refused with the name of the option', (options, message) => {
    const act = (): unknown => resolveRetry(options as RetryOptions);
    expect(act).toThrowError(message);
    expect(act).toThrowError(expect.objectContaining({ code: 'WF_INVALID_OPTIONS' }));
  });

  it('keeps what parseDuration said as the cause', () => {
    try {
      resolveRetry({ backoff: { initial: 'soon' as '1s' } });
      expect.unreachable();
    } catch (error) {
      expect(WorkflowError.is((error as Error).cause, 'WF_INVALID_DURATION')).toBe(true);
    }
  });
});

describe('backoffMs', () => {
  const policy = { ...DEFAULT_RETRY, jitter: false };

  it('doubles from the initial delay to the longest one', () => {
    const delays = [1, 2, 3, 9, 10, 5000].map((n) => backoffMs(policy, n, 0));
    expect(delays).toEqual([1000, 2000, 4000, 256_000, 300_000, 300_000]);
  });

  it('keeps half of the delay and spreads the other half', () => {
    expect(backoffMs(DEFAULT_RETRY, 1, 0)).toBe(500);
    expect(backoffMs(DEFAULT_RETRY, 1, 0.5)).toBe(750);
    expect(backoffMs(DEFAULT_RETRY, 1, 0.9999)).toBe(1000);
  });

  it('is never NaN, negative, or longer than the longest delay', () => {
    expect(backoffMs({ ...policy, initialMs: 0 }, 5000, 0)).toBe(0);
    fc.assert(
      fc.property(
        fc.record({
          retries: fc.nat(),
          initialMs: fc.nat(),
          factor: fc.double({ min: 1, max: 1e300, noNaN: true }),
          maxMs: fc.nat(),
          jitter: fc.boolean(),
        }),
        fc.nat(10_000),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (any, n, random) => {
          const delay = backoffMs(any, n, random);
          expect(Number.isInteger(delay) && delay >= 0 && delay <= any.maxMs).toBe(true);
        },
      ),
    );
  });
});

describe('decideRetry', () => {
  const policy = { ...DEFAULT_RETRY, jitter: false };
  const now = 1_700_000_000_000;
  const decide = (attempts: number, failure = {}): unknown =>
    decideRetry({ policy, attempts, failure, now, random: 0 });

  it('retries: 3 means three more after the first', () => {
    expect([1, 2, 3, 4].map((attempts) => decide(attempts))).toEqual([
      { retry: true, at: now + 1000 },
      { retry: true, at: now + 2000 },
      { retry: true, at: now + 4000 },
      { retry: false },
    ]);
  });

  it('never repeats what is marked as not retryable', () => {
    expect(decide(1, { retryable: false, retryAfterMs: 5 })).toEqual({ retry: false });
  });

  it('takes the moment the failure names over the backoff, but not over the number of retries', () => {
    expect(decide(1, { retryAfterMs: 0 })).toEqual({ retry: true, at: now });
    expect(decide(3, { retryAfterMs: 86_400_000 })).toEqual({ retry: true, at: now + 86_400_000 });
    expect(decide(1, { retryAt: now + 7 })).toEqual({ retry: true, at: now + 7 });
    expect(decide(1, { retryAt: now - 7 })).toEqual({ retry: true, at: now });
    expect(decide(4, { retryAfterMs: 1 })).toEqual({ retry: false });
  });
});
