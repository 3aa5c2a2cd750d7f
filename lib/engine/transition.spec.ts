import { describe, expect, it } from 'vitest';
import { NonRetryableError, StepFailedError } from './errors.js';
import { decodeFailure, toFailure } from './failure.js';
import { DEFAULT_RETRY } from './retry.js';
import {
  afterFailure,
  afterOutcome,
  failureRow,
  limitReached,
  type RunLimits,
  type RunState,
} from './transition.js';

const state: RunState = {
  attempt: 1,
  policy: { ...DEFAULT_RETRY, jitter: false },
  handlesFailure: false,
  failed: undefined,
  now: 1000,
  random: 0,
};
const boom = toFailure(new Error('boom'));

describe('what follows when the code has ended', () => {
  it('a returned value completes the run', () => {
    expect(afterOutcome({ ok: true, value: 7 }, state)).toEqual({ to: 'completed', value: 7 });
  });

  it('an error is tried again after the backoff, until the retries are used up', () => {
    const error = new Error('boom');
    expect(afterOutcome({ ok: false, error }, state)).toMatchObject({ to: 'retry', at: 2000 });
    expect(afterOutcome({ ok: false, error }, { ...state, attempt: 4 })).toMatchObject({ to: 'failed' });
  });

  it('a Retry-After of the error counts, and a retryDelay that gives none is told', () => {
    const error = Object.assign(new Error('busy'), { status: 429, headers: { 'retry-after': '7' } });
    expect(afterOutcome({ ok: false, error }, state)).toMatchObject({ to: 'retry', at: 8000 });
    const policy = { ...state.policy, delay: (): number => NaN };
    expect(afterOutcome({ ok: false, error: new Error('boom') }, { ...state, policy })).toMatchObject({
      to: 'retry',
      at: 2000,
      warning: 'retryDelay gave a value that is no delay: NaN; the backoff counts',
    });
  });

  it('a non-retryable error and a journaled step failure fail the run at once', () => {
    expect(afterOutcome({ ok: false, error: new NonRetryableError('no') }, state)).toMatchObject({
      to: 'failed',
    });
    const error = new Error('wrapped', { cause: new StepFailedError('charge', 4, boom) });
    expect(afterOutcome({ ok: false, error }, state)).toMatchObject({
      to: 'failed',
      failure: { message: 'wrapped' },
    });
  });

  it('a failed run goes to its @OnFailure method first, and ends with what it failed with whatever that does', () => {
    expect(afterFailure(boom, { ...state, handlesFailure: true })).toEqual({
      to: 'on-failure',
      failure: boom,
    });
    const handling = { ...state, handlesFailure: true, failed: boom };
    expect(afterFailure(toFailure(new Error('later')), handling)).toEqual({ to: 'failed', failure: boom });
    expect(afterOutcome({ ok: true, value: 1 }, handling)).toEqual({ to: 'failed', failure: boom });
    expect(afterOutcome({ ok: false, error: new Error('handler') }, handling)).toEqual({
      to: 'failed',
      failure: boom,
    });
  });

  it('the failure is journaled under a key of its own', () => {
    const row = failureRow(boom, 3, 2, 1000);
    expect(row).toMatchObject({
      kind: 'failure',
      state: 'journaled',
      position: 3,
      attempts: 2,
      finishedAt: 1000,
    });
    expect(row.answer?.ok === false && decodeFailure(row.answer.failure).message).toBe('boom');
  });
});

describe('limits of a run', () => {
  const run: RunLimits = {
    runId: 'r1',
    now: 1000,
    deadlineAt: null,
    position: 0,
    maxSteps: 10,
    lost: 0,
    maxLosses: 5,
    gather: 0,
  };
  it.each([
    ['nothing is reached', {}, undefined],
    ['a deadline that is ahead does not end it', { deadlineAt: 1001 }, undefined],
    ['its deadline has come', { deadlineAt: 1000 }, 'WF_RUN_TIMEOUT'],
    ['its journal is full', { position: 10 }, 'WF_MAX_STEPS'],
    ['its process was lost too often', { lost: 5 }, 'WF_WORKER_LOST'],
    ['it was given time for late asks often enough', { gather: 6 }, 'WF_ASYNC_OUTSIDE_STEP'],
    ['it may still be given time', { gather: 5 }, undefined],
  ])('%s', (_name, change, code) => {
    expect(limitReached({ ...run, ...change })?.code).toBe(code);
  });
});
