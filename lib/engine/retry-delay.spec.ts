import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import { DelayExpressionError } from './delay-expression.js';
import { toFailure } from './failure.js';
import { checkRetryDelay, retryDelayMs, type RetryDelayFunction } from './retry-delay.js';

const failure = toFailure(new Error('down'));

describe('checkRetryDelay', () => {
  it.each(['10s', '1.5h', 'pow(2, retried) * 1000', '1000', () => 5])('%s is taken', (delay) => {
    checkRetryDelay(delay);
  });

  it.each<[unknown, string]>([
    [5, 'Option `retryDelay` is 5, and must be a duration'],
    [null, '`retryDelay` is null'],
    [{}, '`retryDelay` is of type object, and must be'],
    [
      '10 s',
      '`retryDelay` is "10 s", which is neither a duration nor an expression: it must be one expression.',
    ],
    [
      '10sec',
      '"10sec", which is neither a duration nor an expression: Variable names cannot start with a number',
    ],
    ['foo(retried)', '"foo(retried)", which is neither a duration nor an expression: only pow, sqrt'],
  ])('%j is refused, with what is wrong', (delay, message) => {
    const act = (): void => checkRetryDelay(delay);
    expect(act).toThrow(message);
    expect(act).toThrow(expect.objectContaining({ code: 'WF_INVALID_OPTIONS' }));
  });

  it('keeps why as the cause', () => {
    try {
      checkRetryDelay('retried.x');
      expect.unreachable();
    } catch (error) {
      expect((error as Error).cause).toBeInstanceOf(DelayExpressionError);
    }
  });

  it('of any text throws WF_INVALID_OPTIONS or nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.anything({ withNullPrototype: true })),
        (delay) => {
          try {
            checkRetryDelay(delay);
          } catch (error) {
            expect(WorkflowError.is(error, 'WF_INVALID_OPTIONS')).toBe(true);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('retryDelayMs', () => {
  const ms = (delay: string | RetryDelayFunction, retried = 0): unknown => {
    const computed = retryDelayMs(delay, retried, failure);
    return computed.ok ? computed.ms : computed.why;
  };
  const nonsense =
    (value: unknown): RetryDelayFunction =>
    () =>
      value as number;

  it('of a duration is that duration, however long', () => {
    expect([ms('10s'), ms('10s', 9), ms('3d')]).toEqual([10_000, 10_000, 3 * 86_400_000]);
  });

  it('of an expression are whole milliseconds between 0 and 24 hours', () => {
    expect([0, 1, 2].map((retried) => ms('pow(2, retried) * 1000.4', retried))).toEqual([1000, 2001, 4002]);
    expect(ms('retried - 5')).toBe(0);
    expect(ms('-1 / retried')).toBe(0);
    expect(ms('1 / retried')).toBe(86_400_000);
    expect(ms('pow(10, retried)', 30)).toBe(86_400_000);
  });

  it('of a function is what it gives: a duration, or milliseconds between 0 and 24 hours', () => {
    const seen: unknown[] = [];
    const delay: RetryDelayFunction = (...args) => {
      seen.push(args);
      return args[0] === 0 ? '2d' : 1500.6;
    };
    expect([ms(delay), ms(delay, 1)]).toEqual([2 * 86_400_000, 1501]);
    expect(seen).toEqual([
      [0, failure],
      [1, failure],
    ]);
    expect([nonsense(-1), nonsense(Infinity), nonsense(-Infinity)].map((one) => ms(one))).toEqual([
      0, 86_400_000, 0,
    ]);
  });

  it.each<[string, string | RetryDelayFunction, string]>([
    ['an expression that gives NaN', '0 / retried', 'gave a value that is no delay: NaN'],
    ['a function that gives NaN', nonsense(NaN), 'gave a value that is no delay: NaN'],
    ['a function that gives nothing', nonsense(undefined), 'no delay: undefined'],
    ['a function that gives null', nonsense(null), 'no delay: null'],
    ['a function that gives a mistyped duration', nonsense('10 sec'), 'no delay: "10 sec"'],
    ['a function that gives an expression', nonsense('retried * 2'), 'no delay: "retried * 2"'],
    ['a function that gives an object', nonsense({ valueOf: () => 5 }), 'of type object'],
    ['a function that gives a bigint', nonsense(5n), 'of type bigint'],
    ['a function that throws', () => thrown(), 'threw RangeError: far'],
    ['an expression that was stored by nobody', 'retried(', 'threw DelayExpressionError'],
  ])('%s is told, not thrown', (_what, delay, why) => {
    expect(ms(delay)).toContain(why);
  });

  it('of an async function that rejects is told, and the rejection ends nothing', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      expect(ms((() => Promise.reject(new Error('later'))) as unknown as RetryDelayFunction)).toBe(
        'gave a value that is no delay: of type object',
      );
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });

  it('of whatever a function gives or throws never throws, and is a whole number of ms when there is one', () => {
    fc.assert(
      fc.property(fc.anything(), fc.boolean(), (value, throws) => {
        const computed = retryDelayMs(
          () => {
            if (throws) throw value;
            return value as number;
          },
          0,
          failure,
        );
        if (computed.ok) expect(Number.isInteger(computed.ms) && computed.ms >= 0).toBe(true);
        else expect(computed.why).toMatch(/^(gave|threw) /);
      }),
    );
  });
});

function thrown(): never {
  throw new RangeError('far');
}
