import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NonRetryableError, RetryAfterError } from './errors.js';
import { toFailure } from './failure.js';
import { afterLook, decodeFailures, encodeFailures, type Seen } from './poll.js';
import { DEFAULT_RETRY } from './retry.js';

const SECOND = 1000;
const askedAt = 1_700_000_000_000;
const failure = toFailure(new Error('down'));
const policy = { ...DEFAULT_RETRY, retries: 2, jitter: false };

/** A look, with its begin, end and all else relative to the moment of the ask. */
const after = (
  seen: Seen,
  at: { began?: number; ended?: number; failures?: number; asked?: number } = {},
): unknown => {
  const { began = 0, ended = began, failures = 0, asked = 0 } = at;
  const next = afterLook({
    seen,
    poll: { everyMs: 30 * SECOND, timeoutMs: 100 * SECOND },
    policy,
    askedAt: askedAt + asked,
    startedAt: askedAt + began,
    now: askedAt + ended,
    failures,
    random: 0,
  });
  return next.do === 'look' ? { ...next, at: next.at - askedAt } : next;
};

describe('a look that finds something', () => {
  it('answers, whenever it was', () => {
    expect(after('something')).toEqual({ do: 'answer', as: 'value' });
    expect(after('something', { began: 500 * SECOND, failures: 9 })).toEqual({ do: 'answer', as: 'value' });
  });
});

describe('a look that finds nothing', () => {
  it.each<[string, number, number, number]>([
    ['the next is one turn later', 0, 0, 30 * SECOND],
    [
      'turns go by the first ask: a look that began late does not shift them',
      31 * SECOND,
      33 * SECOND,
      60 * SECOND,
    ],
    ['one that takes longer than a turn leaves the turn out', 0, 45 * SECOND, 60 * SECOND],
    ['one that ends at a turn does not look twice', 0, 60 * SECOND, 90 * SECOND],
    ['the last is at the deadline, not at the turn beyond it', 90 * SECOND, 91 * SECOND, 100 * SECOND],
    ['one that began in time and ended late is not the last', 90 * SECOND, 130 * SECOND, 130 * SECOND],
  ])('%s', (_what, began, ended, at) => {
    expect(after('nothing', { began, ended, failures: 1 })).toEqual({ do: 'look', at, failures: 0 });
  });

  it('at the deadline or later it has timed out', () => {
    expect(after('nothing', { began: 100 * SECOND })).toEqual({ do: 'answer', as: 'timed-out' });
    expect(after('nothing', { began: 900 * SECOND })).toEqual({ do: 'answer', as: 'timed-out' });
  });

  it('counts in whole ms, so that what the database rounds is neither early nor looked at twice', () => {
    const asked = 0.4;
    expect(after('nothing', { asked, began: asked, ended: asked })).toMatchObject({ at: 30 * SECOND });
    expect(after('nothing', { asked, began: 30 * SECOND })).toMatchObject({ at: 60 * SECOND });
    expect(after('nothing', { asked, began: 100 * SECOND })).toMatchObject({ as: 'timed-out' });
  });
});

describe('a look that fails', () => {
  it('is repeated by the policy, which counts the failures in a row', () => {
    expect(after(failure)).toEqual({ do: 'look', at: SECOND, failures: 1 });
    expect(after(failure, { began: SECOND, failures: 1 })).toEqual({
      do: 'look',
      at: 3 * SECOND,
      failures: 2,
    });
    expect(after(failure, { began: 3 * SECOND, failures: 2 })).toEqual({ do: 'answer', as: 'failure' });
    const fatal = toFailure(new NonRetryableError('gone'));
    expect(after(fatal)).toEqual({ do: 'answer', as: 'failure' });
  });

  it('honours what the failure asks for, but looks at the deadline at the latest', () => {
    expect(after(toFailure(new RetryAfterError('busy', '50s')))).toMatchObject({ at: 50 * SECOND });
    expect(after(toFailure(new RetryAfterError('busy', '1h')))).toMatchObject({ at: 100 * SECOND });
    expect(
      after(toFailure(new RetryAfterError('busy', '1h')), { began: 99 * SECOND, ended: 101.5 * SECOND }),
    ).toEqual({
      do: 'look',
      at: 101.5 * SECOND,
      failures: 1,
    });
  });

  it('as the last one has timed out while retries are left, and tells why; without, it has failed', () => {
    expect(after(failure, { began: 100 * SECOND })).toEqual({
      do: 'answer',
      as: 'timed-out',
      warning: 'timed out, and its last look failed: down',
    });
    expect(after(failure, { began: 100 * SECOND, failures: 2 })).toEqual({ do: 'answer', as: 'failure' });
  });

  it('tells when its retryDelay gave none', () => {
    const next = afterLook({
      seen: failure,
      poll: { everyMs: 1, timeoutMs: 5000 },
      policy: { ...policy, delay: () => NaN },
      askedAt,
      startedAt: askedAt,
      now: askedAt,
      failures: 0,
      random: 0,
    });
    expect(next).toMatchObject({ do: 'look', at: askedAt + 1000, warning: expect.stringContaining('NaN') });
  });
});

it('the failures in a row survive being stored', () => {
  expect([0, 1, 7].map((n) => decodeFailures(encodeFailures(n)))).toEqual([0, 1, 7]);
  expect(encodeFailures(0)).toBeNull();
});

it('every poll ends: each look is later than the one before, and none begins after the first one at the deadline', () => {
  const ms = fc.integer({ min: 1, max: 100_000 });
  fc.assert(
    fc.property(
      fc.record({ everyMs: fc.integer({ min: 100, max: 100_000 }), timeoutMs: fc.nat(100_000) }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.infiniteStream(
        fc.tuple(fc.constantFrom<Seen>('nothing', failure), fc.oneof(fc.constant(0), ms), fc.nat(50)),
      ),
      (poll, fraction, looks) => {
        const asked = askedAt + fraction;
        const until = Math.floor(asked) + poll.timeoutMs;
        let startedAt = asked;
        let failures = 0;
        let looked = 0;
        for (const [seen, took, late] of looks) {
          expect(++looked).toBeLessThan(3100);
          const now = startedAt + took;
          const next = afterLook({
            seen,
            poll,
            policy: { ...policy, retries: 1e9, initialMs: 100 },
            askedAt: asked,
            startedAt,
            now,
            failures,
            random: 0,
          });
          if (next.do === 'answer') {
            expect(startedAt).toBeGreaterThanOrEqual(until);
            return;
          }
          expect(next.at).toBeGreaterThanOrEqual(now);
          expect(startedAt).toBeLessThan(until);
          expect(next.at).toBeLessThanOrEqual(Math.max(Math.ceil(now), until));
          startedAt = next.at + late;
          failures = next.failures;
        }
      },
    ),
  );
});
