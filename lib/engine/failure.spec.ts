import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import { NonRetryableError, RetryAfterError, StepFailedError } from './errors.js';
import { decodeFailure, encodeFailure, toFailure } from './failure.js';

class PaymentError extends Error {}
class CardDeclined extends PaymentError {
  code = 'card_declined';
  data = { at: new Date(0), left: 5, skip: undefined };
}

describe('toFailure of an Error', () => {
  it('records class names, code, data and stack', () => {
    const failure = toFailure(new CardDeclined('no funds'));
    expect(failure).toMatchObject({
      name: 'CardDeclined',
      message: 'no funds',
      names: ['CardDeclined', 'PaymentError'],
      code: 'card_declined',
      data: { at: '1970-01-01T00:00:00.000Z', left: 5 },
    });
    expect(failure.stack).toContain('no funds\n    at ');
    expect(failure).not.toHaveProperty('retryable');
    expect(failure).not.toHaveProperty('cause');
  });

  it('takes the name that the class or the instance gives, else the class name', () => {
    expect(toFailure(Object.assign(new Error('x'), { name: 'Named' })).name).toBe('Named');
    expect(toFailure(new (class Mine extends TypeError {})('x'))).toMatchObject({
      name: 'Mine',
      names: ['Mine', 'TypeError'],
    });
    expect(toFailure(new TypeError('x'))).toMatchObject({ name: 'TypeError', names: ['TypeError'] });
    expect(toFailure(new (class extends Error {})('x')).name).toBe('Error');
    expect(toFailure(new Error('x'))).not.toHaveProperty('names');
    expect(toFailure(Object.assign(new Error('x'), { name: 5 })).name).toBe('Error');
  });

  it('keeps causes, numbers as codes, and an empty message', () => {
    const failure = toFailure(
      new Error('', { cause: Object.assign(new Error('low'), { code: 42, cause: 'text' }) }),
    );
    expect(failure).toMatchObject({
      message: '',
      cause: { message: 'low', code: '42', cause: { message: 'text' } },
    });
  });

  it('knows errors of another realm and of another copy of the package', () => {
    expect(toFailure(runInNewContext('new RangeError("far")'))).toMatchObject({
      name: 'RangeError',
      message: 'far',
    });
    const foreign = Object.assign(new Error('x'), { [Symbol.for('nestjs-workflow:non-retryable')]: true });
    expect(toFailure(foreign).retryable).toBe(false);
  });

  it('of NonRetryableError and its subclasses says that trying again is pointless', () => {
    class Fatal extends NonRetryableError {}
    expect(toFailure(new Fatal('x', { cause: 1 }))).toMatchObject({
      name: 'Fatal',
      names: ['Fatal', 'NonRetryableError'],
      retryable: false,
      cause: { message: '1 was thrown, not an Error' },
    });
  });

  it('of a result that cannot be stored says so too: the step has done its work', () => {
    expect(toFailure(new WorkflowError('WF_TOO_LARGE', 'x')).retryable).toBe(false);
    expect(toFailure(new WorkflowError('WF_STEP_TIMEOUT', 'x')).retryable).toBeUndefined();
  });

  it('reads the Retry-After of a response when it is told the time; RetryAfterError comes first', () => {
    const headers = { status: 503, headers: { 'retry-after': 'Thu, 01 Jan 1970 00:00:07 GMT' } };
    const busy = Object.assign(new Error('busy'), headers);
    expect(toFailure(busy, 2000)).toMatchObject({ retryAfterMs: 5000 });
    expect(toFailure(busy)).not.toHaveProperty('retryAfterMs');
    expect(toFailure(new Error('x'), 2000)).not.toHaveProperty('retryAfterMs');
    expect(toFailure(headers, 2000)).toMatchObject({ retryAfterMs: 5000 });
    expect(toFailure(Object.assign(new RetryAfterError('x', '9s'), headers), 2000)).toMatchObject({
      retryAfterMs: 9000,
    });
    const at = toFailure(Object.assign(new RetryAfterError('x', new Date(7)), headers), 2000);
    expect(at).toMatchObject({ retryAt: 7 });
    expect(at).not.toHaveProperty('retryAfterMs');
  });

  it('of RetryAfterError says when', () => {
    expect(toFailure(new RetryAfterError('busy', '2m'))).toMatchObject({
      name: 'RetryAfterError',
      retryAfterMs: 120_000,
    });
    expect(toFailure(new RetryAfterError('busy', new Date(7)))).toMatchObject({ retryAt: 7 });
  });

  it('of StepFailedError keeps the step and the recorded failure unchanged', () => {
    const inner = toFailure(new CardDeclined('no funds'));
    const failure = toFailure(new StepFailedError('Pay.charge', 4, inner));
    expect(failure).toMatchObject({
      name: 'StepFailedError',
      code: 'WF_STEP_FAILED',
      step: { key: 'Pay.charge', attempts: 4 },
    });
    expect(failure.cause).toEqual(inner);
  });

  it('of AggregateError shows the first of its errors, and takes the first as cause', () => {
    const errors = [new TypeError('a'), 'b', { message: 'c' }, 4];
    const failure = toFailure(new AggregateError(errors, 'all failed'));
    expect(failure.message).toBe('all failed (4 errors: TypeError: a; b; Error: c; …)');
    expect(failure.cause).toMatchObject({ name: 'TypeError', message: 'a' });
    expect(toFailure(new AggregateError([{}])).message).toBe('(1 error: Error: )');
    expect(toFailure(new AggregateError([], 'none')).message).toBe('none');
  });
});

describe('toFailure of anything else', () => {
  it.each<[unknown, string]>([
    ['boom', 'boom'],
    [undefined, 'undefined was thrown, not an Error'],
    [null, 'null was thrown, not an Error'],
    [5n, '5 was thrown, not an Error'],
    [Symbol('s'), 'Symbol(s) was thrown, not an Error'],
    [() => 1, 'A function was thrown, not an Error'],
    [{ status: 400 }, 'An object was thrown, not an Error: {"status":400}'],
    [{ message: 'said so' }, 'said so'],
    [{ big: 1n }, 'An object was thrown, not an Error'],
    [{ toJSON() {} }, 'An object was thrown, not an Error'],
  ])('%o', (thrown, message) => expect(toFailure(thrown)).toMatchObject({ name: 'Error', message }));

  it('keeps name, code and data of an object', () => {
    expect(toFailure({ name: 'Http', code: 'E400', message: '' })).toMatchObject({
      name: 'Http',
      code: 'E400',
      data: { message: '' },
    });
  });

  it('an object made to look like an error counts as one', () => {
    expect(toFailure({ name: 'X', message: 'm', stack: 's' })).toEqual({
      name: 'X',
      message: 'm',
      stack: 's',
    });
  });
});

describe('toFailure never throws and is bounded', () => {
  const trap = (): never => {
    throw new Error('trap');
  };
  const hostile = new Proxy(new Error('x'), { get: trap, getPrototypeOf: trap, has: trap, ownKeys: trap });
  const revoked = Proxy.revocable([], {});
  revoked.revoke();

  it.each<[string, () => unknown]>([
    ['a Proxy that throws at every look', () => hostile],
    ['a Proxy that hides what it has', () => new Proxy(new Error('x'), { has: trap })],
    ['a revoked Proxy', () => revoked.proxy],
    [
      'a Proxy with an endless prototype chain',
      () => {
        const p: object = new Proxy(
          {},
          {
            getPrototypeOf: () => p,
            get: (_, key) =>
              key === 'constructor'
                ? { name: 'Loop' }
                : key === 'message' || key === 'stack'
                  ? 'x'
                  : undefined,
          },
        );
        return p;
      },
    ],
    [
      'getters that throw',
      () =>
        Object.defineProperties(new Error('x'), {
          // first: V8 makes the text of a stack when it is first touched, out of the message
          stack: { get: trap },
          message: { get: trap },
          cause: { get: trap },
          name: { get: trap },
        }),
    ],
    [
      'a class whose name throws',
      () => {
        const e = new Error('x');
        Object.setPrototypeOf(e, Object.create(Error.prototype, { constructor: { get: trap } }));
        return e;
      },
    ],
    [
      'a class without a constructor',
      () => Object.setPrototypeOf(new Error('x'), Object.create(null, { constructor: { value: undefined } })),
    ],
    ['a message that cannot be text', () => Object.assign(new Error(), { message: { toString: trap } })],
    ['no stack', () => Object.assign(new Error('x'), { stack: undefined })],
    ['errors behind a revoked Proxy', () => Object.assign(new AggregateError([]), { errors: revoked.proxy })],
    [
      'an AggregateError of itself',
      () => {
        const e = new AggregateError([]);
        e.errors.push(e, hostile);
        return e;
      },
    ],
    [
      'a cause that is the error',
      () => {
        const e = new Error('x');
        e.cause = e;
        return e;
      },
    ],
    [
      'a cycle of causes',
      () => {
        const e = new Error('x');
        e.cause = { message: 'y', stack: '', cause: { message: 'z', stack: '', cause: e } };
        return e;
      },
    ],
    [
      'an endless chain of causes',
      () => {
        class E extends Error {
          override get cause(): unknown {
            return new E('x');
          }
        }
        return new E('x');
      },
    ],
    [
      'data in a cycle',
      () => {
        const data: Record<string, unknown> = {};
        data['self'] = data;
        return Object.assign(new Error('x'), { data });
      },
    ],
    [
      'huge data',
      () =>
        Object.assign(new Error('x'.repeat(1e6)), {
          data: 'x'.repeat(1e6),
          code: 'x'.repeat(1e6),
          name: 'x'.repeat(1e6),
        }),
    ],
  ])('%s', (_, make) => {
    const failure = toFailure(make());
    expect(typeof failure.message).toBe('string');
    expect(encodeFailure(failure).length).toBeLessThan(30_000);
    expect(decodeFailure(encodeFailure(failure))).toEqual(failure);
  });

  it('an endless chain of causes is cut after eight', () => {
    class Endless extends Error {
      override get cause(): unknown {
        return new Endless('x');
      }
    }
    let depth = 0;
    for (let f = toFailure(new Endless('x')).cause; f; f = f.cause) depth++;
    expect(depth).toBe(8);
  });

  it('a huge message is cut at 8 KiB, between characters, and leaves the frames in the stack', () => {
    const failure = toFailure(new Error('€😀'.repeat(100_000)));
    expect(Buffer.byteLength(failure.message)).toBeLessThanOrEqual(8192);
    expect(Buffer.byteLength(failure.message)).toBeGreaterThan(8180);
    expect(failure.message).toMatch(/^(€😀)+€?…$/u);
    expect(failure.stack).toMatch(/^ {4}at /);
    expect(toFailure('ü'.repeat(4096)).message).toBe('ü'.repeat(4096));
    const noFrames = Object.assign(new Error('y'.repeat(300)), { stack: 'only text' });
    expect(toFailure(noFrames).stack).toBe('only text');
  });

  it('NUL characters are replaced: PostgreSQL refuses them', () => {
    const failure = toFailure(Object.assign(new Error('a\0b'), { code: '\0', data: { x: '\0' } }));
    expect(failure).toMatchObject({ message: 'a\uFFFDb', code: '\uFFFD', data: { x: '\0' } });
    expect(encodeFailure(failure)).not.toContain('\0');
  });

  it('whatever is thrown, encoding and decoding change nothing', () => {
    fc.assert(
      fc.property(fc.anything(), fc.string({ unit: 'binary' }), fc.anything(), (thrown, text, data) => {
        for (const one of [
          thrown,
          text,
          Object.assign(new CardDeclined(text, { cause: thrown }), { data }),
        ]) {
          const failure = toFailure(one);
          expect(decodeFailure(encodeFailure(failure))).toStrictEqual(failure);
        }
      }),
    );
  });
});

describe('decodeFailure', () => {
  it.each([['null'], ['[]'], ['{"name":"x"}'], ['5'], ['nonsense']])('refuses %j', (text) => {
    expect(() => decodeFailure(text)).toThrowError(SyntaxError);
  });
});
