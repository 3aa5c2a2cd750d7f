import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import {
  ChildFailedError,
  NonDeterminismError,
  NonRetryableError,
  RetryAfterError,
  RunCancelledError,
  RunFailedError,
  StepFailedError,
  StepTimeoutError,
  reviveFailure,
  stepFailureIn,
} from './errors.js';
import { decodeFailure, encodeFailure, toFailure } from './failure.js';

class PaymentError extends Error {}
class CardDeclined extends PaymentError {
  code = 'card_declined';
  data = { left: 5 };
}
const declined = toFailure(new CardDeclined('no funds', { cause: new TypeError('low') }));

describe('errors that authors throw', () => {
  it('carry their own name, and that of a subclass, without visible marks', () => {
    class Fatal extends NonRetryableError {}
    const error = new Fatal('x', { cause: 1 });
    expect(error).toMatchObject({ name: 'Fatal', message: 'x', cause: 1 });
    expect(
      Object.getOwnPropertySymbols(error).filter((s) => Object.prototype.propertyIsEnumerable.call(error, s)),
    ).toEqual([]);
    expect(new RetryAfterError('x', '1s', { cause: 1 })).toMatchObject({ name: 'RetryAfterError', cause: 1 });
  });

  it('RetryAfterError refuses what is no duration and no date', () => {
    expect(() => new RetryAfterError('x', 'soon' as '1s')).toThrowError('[WF_INVALID_DURATION]');
    expect(() => new RetryAfterError('x', new Date(NaN))).toThrowError('[WF_INVALID_ARGUMENT]');
  });
});

describe('StepFailedError', () => {
  it('says which step, how often and why, then what to do', () => {
    const error = new StepFailedError('Pay.charge', 4, declined);
    expect(error.message).toBe(
      'Step "Pay.charge" failed after 4 attempts with CardDeclined: no funds. ' +
        'Catch StepFailedError in `run`, or mend the step; `failure` tells what it threw. [WF_STEP_FAILED]',
    );
    expect(error).toMatchObject({
      name: 'StepFailedError',
      code: 'WF_STEP_FAILED',
      step: 'Pay.charge',
      attempts: 4,
      failure: { name: 'CardDeclined', message: 'no funds', code: 'card_declined', data: { left: 5 } },
      cause: {
        name: 'CardDeclined',
        message: 'no funds',
        code: 'card_declined',
        data: { left: 5 },
        cause: { name: 'TypeError' },
      },
    });
    expect(WorkflowError.is(error, 'WF_STEP_FAILED')).toBe(true);
    expect(new StepFailedError('a', 1, { name: 'Oops', message: '' }).message).toContain(
      'after 1 attempt with Oops. ',
    );
  });

  it('is the same live and replayed', () => {
    const live = new StepFailedError('Pay.charge', 4, declined);
    const replayed = new StepFailedError('Pay.charge', 4, decodeFailure(encodeFailure(declined)));
    expect(replayed).toStrictEqual(live);
    expect(replayed.stack).toBe(live.stack);
    expect((replayed.cause as Error).stack).toBe((live.cause as Error).stack);
    expect((live.cause as Error).stack).toContain('errors.spec');
    expect(toFailure(replayed)).toStrictEqual(toFailure(live));
  });

  it('is() compares class names along the recorded chain', () => {
    const error = new StepFailedError('a', 1, declined);
    expect(
      [CardDeclined, PaymentError, Error, TypeError, NonRetryableError].map((type) => error.is(type)),
    ).toEqual([true, true, true, false, false]);
    class Renamed extends Error {}
    const bare = new StepFailedError('a', 1, { name: 'Renamed', message: 'x' });
    expect([bare.is(Renamed), bare.is(Error), bare.is(TypeError)]).toEqual([true, true, false]);
  });
});

describe('ChildFailedError', () => {
  it('is a StepFailedError that names the child, and knows what the child failed with', () => {
    const error = new ChildFailedError('part', 'r9', declined);
    expect(error).toBeInstanceOf(StepFailedError);
    expect(error).toMatchObject({
      step: 'part',
      runId: 'r9',
      attempts: 1,
      cancelled: false,
      name: 'ChildFailedError',
    });
    expect(error.message).toContain('Child run r9 of step "part" failed with CardDeclined: no funds');
    expect(error.stack).toBe(`ChildFailedError: ${error.message}`);
    expect(error.is(PaymentError)).toBe(true);
    expect(error.is(RangeError)).toBe(false);
  });

  it('looks through to the step that made the child fail', () => {
    const error = new ChildFailedError(
      'part',
      'r9',
      toFailure(new StepFailedError('Card.charge', 2, declined)),
    );
    expect(error.message).toContain('failed at step "Card.charge" after 2 attempts with CardDeclined');
    expect(error.is(CardDeclined)).toBe(true);
    expect(error.is(StepFailedError)).toBe(true);
    expect(error.failure).toMatchObject({ name: 'CardDeclined', message: 'no funds' });
    expect(error.is(RangeError)).toBe(false);
  });

  it('tells a cancelled child from a failed one', () => {
    const error = new ChildFailedError('part', 'r9', toFailure(new RunCancelledError('r9')));
    expect(error.cancelled).toBe(true);
    expect(error.message).toContain('was cancelled');
  });
});

describe('the other errors', () => {
  it('RunFailedError names the error, and for a failed step the step instead of the wrapping', () => {
    expect(new RunFailedError('r1', declined)).toMatchObject({
      code: 'WF_RUN_FAILED',
      runId: 'r1',
      message: expect.stringContaining('Run r1 failed with CardDeclined: no funds. '),
      failure: { name: 'CardDeclined', message: 'no funds' },
      cause: { name: 'CardDeclined' },
    });
    const failed = new RunFailedError('r1', toFailure(new StepFailedError('Pay.charge', 4, declined)));
    expect(failed.message).toContain(
      'Run r1 failed at step "Pay.charge" after 4 attempts with CardDeclined: no funds. ',
    );
    expect(failed.cause).toStrictEqual(new StepFailedError('Pay.charge', 4, declined));
  });

  it('RunCancelledError, StepTimeoutError and NonDeterminismError say what happened, with names', () => {
    expect(new RunCancelledError('r1')).toMatchObject({ runId: 'r1', code: 'WF_RUN_CANCELLED' });
    expect(new StepTimeoutError('a', 500)).toMatchObject({
      step: 'a',
      timeoutMs: 500,
      code: 'WF_STEP_TIMEOUT',
    });
    const changed = new NonDeterminismError('r1', 'charge', 'sleep', 'invoke');
    expect(changed).toMatchObject({ runId: 'r1', step: 'charge', recorded: 'sleep', asked: 'invoke' });
    expect(changed.message).toBe(
      'Step "charge" of run r1 is recorded as a sleep, but the code now runs it as an invoke. ' +
        'Restore the order, or give the changed workflow a new version. [WF_NON_DETERMINISM]',
    );
  });
});

describe('reviveFailure', () => {
  it('gives a plain Error with a stack, also when none was recorded', () => {
    const error = reviveFailure({ name: 'Oops', message: 'x' });
    expect(error.stack).toBe('Oops: x');
    expect(Object.keys(error)).toEqual([]);
    expect('cause' in error).toBe(false);
  });
});

describe('stepFailureIn', () => {
  const failed = new StepFailedError('a', 1, declined);

  it('finds it in the error, its causes, and the errors of an AggregateError', () => {
    expect(stepFailureIn(failed)).toBe(failed);
    expect(stepFailureIn(new Error('x', { cause: new Error('y', { cause: failed }) }))).toBe(failed);
    expect(stepFailureIn(new AggregateError([new Error('x'), failed]))).toBe(failed);
  });

  it('ends on cycles, on endless causes, and on what throws when looked at', () => {
    const cycle = new Error('x');
    cycle.cause = new Error('y', { cause: cycle });
    class Endless extends Error {
      override get cause(): unknown {
        return new Endless('x');
      }
    }
    const revoked = Proxy.revocable([], {});
    revoked.revoke();
    const trap = {
      get cause(): never {
        throw new Error('no');
      },
      errors: revoked.proxy,
    };
    for (const error of [
      cycle,
      new Endless('x'),
      trap,
      revoked.proxy,
      'text',
      null,
      undefined,
      5,
      { errors: 'x' },
    ]) {
      expect(stepFailureIn(error)).toBeUndefined();
    }
  });
});
