import { describe, expect, it } from 'vitest';
import { NonRetryableError, StepFailedError } from './errors.js';
import { decodeFailure, toFailure } from './failure.js';
import { DEFAULT_RETRY } from './retry.js';
import {
  afterCancel,
  afterFailure,
  afterOutcome,
  endedOf,
  endedRow,
  limitReached,
  type Ended,
  type RunLimits,
  type RunState,
} from './transition.js';

const state: RunState = {
  attempt: 1,
  policy: { ...DEFAULT_RETRY, jitter: false },
  handlesFailure: false,
  phase: 'run',
  rollbacks: 0,
  ended: undefined,
  cancelling: false,
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
      ended: failed(0),
    });
    const handling: RunState = { ...state, handlesFailure: true, phase: 'on-failure', ended: failed(0) };
    expect(afterFailure(toFailure(new Error('later')), handling)).toEqual({ to: 'failed', failure: boom });
    expect(afterOutcome({ ok: true, value: 1 }, handling)).toEqual({ to: 'failed', failure: boom });
    expect(afterOutcome({ ok: false, error: new Error('handler') }, handling)).toEqual({
      to: 'failed',
      failure: boom,
    });
  });
});

const failed = (rollbacks: number): Ended => ({ failure: boom, cancelled: false, rollbacks });

describe('what was done is undone', () => {
  it('when the run has failed, before its @OnFailure method and before the end', () => {
    const registered = { ...state, rollbacks: 2 };
    expect(afterFailure(boom, registered)).toEqual({ to: 'rollback', ended: failed(2) });
    expect(afterOutcome({ ok: false, error: new NonRetryableError('x') }, registered)).toMatchObject({
      to: 'rollback',
    });
    const undone: RunState = { ...registered, phase: 'rollback', ended: failed(2) };
    const done = { ok: true, value: undefined } as const;
    expect(afterOutcome(done, undone)).toEqual({ to: 'failed', failure: boom });
    expect(afterOutcome(done, { ...undone, handlesFailure: true })).toEqual({
      to: 'on-failure',
      ended: failed(2),
    });
    expect(afterFailure(toFailure(new Error('no progress')), undone)).toEqual({
      to: 'failed',
      failure: boom,
    });
  });

  it('when the run is cancelled, which then ends as cancelled and never sees its @OnFailure method', () => {
    expect(afterCancel('r1', state)).toEqual({ to: 'cancelled' });
    const undoing = afterCancel('r1', { ...state, rollbacks: 1, handlesFailure: true });
    expect(undoing).toMatchObject({
      to: 'rollback',
      ended: { cancelled: true, rollbacks: 1, failure: { code: 'WF_RUN_CANCELLED' } },
    });
    const ended = undoing.to === 'rollback' ? undoing.ended : undefined;
    const undone: RunState = { ...state, phase: 'rollback', handlesFailure: true, ended };
    expect(afterOutcome({ ok: true, value: undefined }, undone)).toEqual({ to: 'cancelled' });
    expect(afterCancel('r1', { ...state, phase: 'on-failure', ended: failed(0) })).toEqual({
      to: 'cancelled',
    });
  });

  it('to the end when a failed run is cancelled meanwhile, which then never sees its @OnFailure method', () => {
    const undone: RunState = { ...state, phase: 'rollback', handlesFailure: true, ended: failed(1) };
    expect(afterOutcome({ ok: true, value: undefined }, { ...undone, cancelling: true })).toEqual({
      to: 'cancelled',
    });
  });
});

describe('how `run` has ended', () => {
  it.each([failed(0), failed(3), { ...failed(1), cancelled: true }])(
    'is journaled under a key of its own: %j',
    (ended) => {
      const row = endedRow(ended, 3, 2, 1000);
      expect(row).toMatchObject({
        kind: 'failure',
        state: 'journaled',
        position: 3,
        attempts: 2,
        finishedAt: 1000,
      });
      expect(endedOf(row)).toEqual(ended);
    },
  );

  it('is not known without that row; one of an older version of this library counts no compensations', () => {
    expect(endedOf(undefined)).toBeUndefined();
    const row = endedRow(failed(0), 1, 1, 1);
    expect(endedOf({ ...row, answer: null })).toBeUndefined();
    expect(endedOf({ ...row, request: null })).toEqual(failed(0));
    expect(decodeFailure(row.answer?.ok === false ? row.answer.failure : '')).toEqual(boom);
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
