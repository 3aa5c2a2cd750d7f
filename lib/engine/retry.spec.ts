import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import { toFailure } from './failure.js';
import {
  DEFAULT_RETRY,
  backoffMs,
  decideRetry,
  resolveRetry,
  resolveStorableRetry,
  type RetryOptions,
  type RetryPolicy,
} from './retry.js';

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
    [{ retryDelay: '10 sec' }, '`retryDelay` is "10 sec", which is neither a duration nor an expression'],
    [{ retryDelay: 5 }, '`retryDelay` is 5'],
    [{ retryDelay: '1s', backoff: {} }, 'Options `retryDelay` and `backoff` are given together'],
  ])('%j is refused with the name of the option', (options, message) => {
    const act = (): unknown => resolveRetry(options as RetryOptions);
    expect(act).toThrowError(message);
    expect(act).toThrowError(expect.objectContaining({ code: 'WF_INVALID_OPTIONS' }));
  });

  it('the first layer that says how long to wait decides which of the two it is', () => {
    const delay = (...layers: RetryOptions[]): unknown => resolveRetry(...layers).delay;
    const [constant, grown]: RetryOptions[] = [{ retryDelay: '10s' }, { backoff: { max: '1h' } }];
    expect(delay({}, constant!, grown!)).toBe('10s');
    expect(delay({ retries: 1 }, grown!, constant!)).toBeUndefined();
    expect(delay({ retryDelay: 'retried * 5' }, constant!)).toBe('retried * 5');
    // the backoff is what counts should the delay be none
    expect(resolveRetry(constant, grown)).toEqual({ ...DEFAULT_RETRY, maxMs: 3_600_000, delay: '10s' });
    expect(() => resolveRetry({}, { retryDelay: '1s', backoff: { max: '1s' } })).toThrow('given together');
  });

  it('for work whose policy is stored passes functions over, and gives plain JSON', () => {
    const fn: RetryOptions = { retries: 7, retryDelay: () => 5 };
    const policy = resolveStorableRetry({}, fn, undefined, { retryDelay: 'retried * 5' });
    expect(policy).toEqual({ ...DEFAULT_RETRY, retries: 7, delay: 'retried * 5' });
    expect(JSON.parse(JSON.stringify(policy))).toEqual(policy);
    expect(resolveStorableRetry(undefined, fn).delay).toBeUndefined();
    expect(resolveStorableRetry({ retryDelay: '1s' }, fn).delay).toBe('1s');
    expect(() => resolveStorableRetry(fn as object)).toThrow(
      expect.objectContaining({ code: 'WF_INVALID_OPTIONS' }),
    );
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
  const decide = (attempts: number, asked = {}, change: Partial<RetryPolicy> = {}): unknown => {
    const failure = { ...toFailure(new Error('down')), ...asked };
    return decideRetry({ policy: { ...policy, ...change }, attempts, failure, now, random: 0 });
  };

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

  it('retryDelay counts instead of the backoff, without jitter', () => {
    const delay = 'pow(2, retried) * 100';
    expect([1, 2, 3, 4].map((attempts) => decide(attempts, {}, { delay, jitter: true }))).toEqual([
      { retry: true, at: now + 100 },
      { retry: true, at: now + 200 },
      { retry: true, at: now + 400 },
      { retry: false },
    ]);
    expect(
      decide(2, {}, { delay: (retried, { message }) => (message === 'down' && retried === 1 ? '1h' : 0) }),
    ).toEqual({ retry: true, at: now + 3_600_000 });
  });

  it('what the failure asks for counts instead of retryDelay, which is not looked at', () => {
    const delay = (): never => expect.unreachable();
    expect(decide(1, { retryAfterMs: 5 }, { delay })).toEqual({ retry: true, at: now + 5 });
    expect(decide(1, { retryAt: now + 6 }, { delay })).toEqual({ retry: true, at: now + 6 });
    expect(decide(1, { retryable: false }, { delay })).toEqual({ retry: false });
    expect(decide(4, {}, { delay })).toEqual({ retry: false });
  });

  it('the backoff counts, with a warning, when retryDelay gives no delay', () => {
    expect(decide(2, {}, { delay: '0 / (retried - 1)' })).toEqual({
      retry: true,
      at: now + 2000,
      warning: 'retryDelay gave a value that is no delay: NaN; the backoff counts',
    });
    const delay = (): never => {
      throw new TypeError('oops');
    };
    expect(decide(1, {}, { delay })).toEqual({
      retry: true,
      at: now + 1000,
      warning: 'retryDelay threw TypeError: oops; the backoff counts',
    });
  });
});
