import { HttpException } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  NonRetryableError,
  RetryAfterError,
  RunFailedError,
  StepFailedError,
  WorkflowError,
  defineEvent,
} from 'nestjs-workflow';
import { Bench, Guarded, Latch, Limited, MODES, Retried, later } from './support.js';

class CardDeclined extends Error {
  code = 'card_declined';
  data = { limit: 12 };
}
class Forged extends NonRetryableError {}
const Never = defineEvent('never');

/** Everything of an error that code could look at. */
const seen = (error: StepFailedError): unknown => ({
  text: String(error),
  stack: error.stack,
  step: error.step,
  attempts: error.attempts,
  failure: error.failure,
  is: [CardDeclined, Error, TypeError].map((type) => error.is(type)),
  cause: { text: String(error.cause), ...(error.cause as object) },
});

describe.each(MODES)('failures: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode, { overrides: { activationTimeoutMs: 100 }, module: { maxSteps: 5 } });
  });
  afterAll(() => bench.dispose());

  it('a step failure is the same live and replayed: text, failure, class', async () => {
    const views: unknown[] = [];
    const run = await bench.start(async (ctx) => {
      try {
        await ctx.run('charge', () => Promise.reject(new CardDeclined('no funds')), { retries: 1 });
      } catch (error) {
        views.push(seen(error as StepFailedError));
      }
      await ctx.sleep('nap', '1h');
      await ctx.run('after', () => 1);
      return views.length;
    });
    await run.waitsFor('nap');
    bench.move(3_600_000);
    await run.result();
    expect(views.length).toBeGreaterThan(mode.fresh ? 1 : 0);
    for (const view of views) expect(view).toEqual(views[0]);
    expect(views[0]).toMatchObject({
      step: 'charge',
      attempts: 2,
      failure: {
        name: 'CardDeclined',
        message: 'no funds',
        code: 'card_declined',
        data: { limit: 12 },
      },
      is: [true, true, false],
      cause: { text: 'CardDeclined: no funds', code: 'card_declined' },
    });
  });

  it('a step failure that run does not catch fails the run at once, and names the step', async () => {
    let steps = 0;
    const run = await bench.start(
      async (ctx) => {
        await ctx.run('fine', () => 1);
        await ctx.run('charge', () => Promise.reject(new CardDeclined(`no ${++steps}`)), { retries: 0 });
      },
      { workflow: Retried },
    );
    const error = await run.failure();
    expect(error).toBeInstanceOf(RunFailedError);
    expect(error.failure.message).toContain('no 1');
    expect(steps).toBe(1);
    const now = await run.handle.get();
    expect(now).toMatchObject({ status: 'failed', attempt: 1, error: { step: 'charge' } });
  });

  it('a Retry-After that the error of a step carries says when the next attempt is', async () => {
    const headers = { 'Retry-After': '3600' };
    let attempts = 0;
    const run = await bench.start(async (ctx) => {
      const [busy] = await Promise.all([
        ctx.run('busy', () => {
          if (++attempts === 1) throw Object.assign(new HttpException('busy', 429), { headers });
          return attempts;
        }),
        ctx.run('beside', () => 1),
      ]);
      await ctx.run('alone', () => {
        if (++attempts === 3) throw Object.assign(new Error('busy'), { response: { status: 503, headers } });
      });
      return busy;
    });
    for (const key of ['busy', 'alone']) {
      const [row] = (
        await run.journal((all) => all.some((one) => one.key === key && one.attempts === 1))
      ).filter((one) => one.key === key);
      const pause = row!.wakeAt!.getTime() - row!.finishedAt!.getTime();
      expect(Math.abs(pause - 3_600_000)).toBeLessThanOrEqual(2); // the two are rounded on their own
      bench.move(3_600_000);
    }
    expect(await run.result()).toBe(2);
    expect(attempts).toBe(4);
  });

  it('so does one in the cause chain of what run throws', async () => {
    const run = await bench.start(
      async (ctx) => {
        const cause = await ctx
          .run('charge', () => Promise.reject(new CardDeclined('no')), { retries: 0 })
          .catch((error: unknown) => error);
        throw new Error('order failed', { cause: new Error('payment failed', { cause }) });
      },
      { workflow: Retried },
    );
    expect((await run.failure()).failure.message).toBe('order failed');
    expect(await run.handle.get()).toMatchObject({ attempt: 1, error: { step: 'charge' } });
  });

  it.each([0, 1, 3])('retries: %i means so many more after the first', async (retries) => {
    const attempts: number[] = [];
    const run = await bench.start((ctx) =>
      ctx.run(
        'charge',
        ({ attempt }) => {
          attempts.push(attempt);
          throw new Error('no');
        },
        { retries },
      ),
    );
    await run.failure();
    expect(attempts).toEqual(Array.from({ length: retries + 1 }, (_, i) => i + 1));
  });

  it('retries of parallel steps are counted for each', async () => {
    const attempts: string[] = [];
    const step = (name: string, succeedsAt: number) => (one: { attempt: number }) => {
      attempts.push(`${name}${one.attempt}`);
      if (one.attempt < succeedsAt) throw new Error('not yet');
      return name;
    };
    const run = await bench.start((ctx) =>
      Promise.allSettled([
        ctx.run('a', step('a', 3)),
        ctx.run('b', step('b', 1)),
        ctx.run('c', step('c', 9), { retries: 1 }),
      ]),
    );
    const settled = (await run.result()) as { status: string }[];
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(attempts.toSorted()).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'c2']);
  });

  it('an attempt that succeeds after failed ones gives its value, and run never sees the others', async () => {
    const caught: unknown[] = [];
    const run = await bench.start(async (ctx) => {
      try {
        return await ctx.run('charge', ({ attempt }) => {
          if (attempt < 3) throw new Error('no');
          return attempt;
        });
      } catch (error) {
        caught.push(error);
        return 'caught';
      }
    });
    expect(await run.result()).toBe(3);
    expect(caught).toEqual([]);
  });

  it('a NonRetryableError, also of a subclass, is final at the first attempt', async () => {
    const run = await bench.start(async (ctx) => {
      const error = await ctx
        .run('charge', () => Promise.reject(new Forged('forged')))
        .catch((e: unknown) => e);
      return [(error as StepFailedError).attempts, (error as StepFailedError).is(Forged)];
    });
    expect(await run.result()).toEqual([1, true]);
  });

  it('a RetryAfterError says when the next attempt may start', async () => {
    let attempts = 0;
    const run = await bench.start((ctx) =>
      ctx.run('charge', () => {
        if (++attempts === 1) throw new RetryAfterError('later', '1h');
        return attempts;
      }),
    );
    const [row] = await run.journal((all) => all[0]?.state === 'pending' && all[0].wakeAt !== null);
    const wait = row!.wakeAt!.getTime() - row!.finishedAt!.getTime();
    expect(Math.abs(wait - 3_600_000)).toBeLessThan(10);
    expect(row!.error?.message).toBe('later');
    expect(attempts).toBe(1);
    bench.move(3_600_000);
    expect(await run.result()).toBe(2);
  });

  it('a step that passes its timeout fails with WF_STEP_TIMEOUT, and its signal fires', async () => {
    const reasons: unknown[] = [];
    const run = await bench.start((ctx) =>
      ctx.run(
        'slow',
        ({ signal }) =>
          new Promise<void>(() => signal.addEventListener('abort', () => reasons.push(signal.reason))),
        { timeout: '20ms', retries: 1 },
      ),
    );
    const error = await run.failure();
    expect(error.cause.failure).toMatchObject({ name: 'StepTimeoutError', code: 'WF_STEP_TIMEOUT' });
    expect(error.cause.attempts).toBe(2);
    expect(reasons.map((reason) => WorkflowError.is(reason, 'WF_STEP_TIMEOUT'))).toEqual([true, true]);
  });

  it('a result that cannot be stored fails the step at once, and names the path', async () => {
    let attempts = 0;
    const run = await bench.start((ctx) =>
      ctx.run('odd', () => {
        attempts++;
        return { items: [{ send: () => 1 }] };
      }),
    );
    expect((await run.failure()).message).toContain('.items[0].send is a function');
    expect(attempts).toBe(1);
  });

  it('an error of run itself repeats the code, against the journal', async () => {
    let steps = 0;
    const attempts: number[] = [];
    const run = await bench.start(
      async (ctx) => {
        attempts.push(ctx.attempt);
        const step = await ctx.run('once', () => ++steps);
        if (ctx.attempt < 3) throw new Error(`attempt ${ctx.attempt}`);
        return step;
      },
      { workflow: Retried },
    );
    expect(await run.result()).toBe(1);
    expect([...new Set(attempts)]).toEqual([1, 2, 3]);
    expect((await run.handle.get()).attempt).toBe(3);
    expect(bench.linesWith(run.runId).filter((line) => line.includes('is tried again'))).toHaveLength(2);
  });

  it('and fails the run when its retries are used up, or at once when it is not retryable', async () => {
    const again = await bench.start(() => Promise.reject(new TypeError('bug')), { workflow: Retried });
    expect((await again.failure()).failure).toMatchObject({ name: 'TypeError', message: 'bug' });
    expect((await again.handle.get()).attempt).toBe(3);
    const final = await bench.start(() => Promise.reject(new Forged('no')), { workflow: Retried });
    await final.failure();
    expect((await final.handle.get()).attempt).toBe(1);
  });

  it('a run without an end is ended by maxSteps, after exactly so many journal entries', async () => {
    let steps = 0;
    const run = await bench.start(async (ctx) => {
      for (;;) await ctx.run('again', () => ++steps);
    });
    expect((await run.failure()).failure.code).toBe('WF_MAX_STEPS');
    expect(steps).toBe(5);
    const fits = await bench.start(async (ctx) => {
      for (let i = 0; i < 5; i++) await ctx.run('again', () => i);
      return 'done';
    });
    expect(await fits.result()).toBe('done');
  });

  it('a run that takes longer than its timeout fails as WF_RUN_TIMEOUT, whatever it waits for', async () => {
    const caught: unknown[] = [];
    const run = await bench.start(
      (ctx) =>
        ctx
          .waitForEvent('never', Never(ctx.runId))
          .catch((error: unknown) => caught.push(error))
          .finally(() => caught.push('finally')),
      { workflow: Limited },
    );
    await run.waitsFor('never');
    // the time of the machine goes on as well, and it may be busy
    bench.move(50_000);
    await later(50);
    // once it has looked for kept events
    await expect.poll(async () => (await run.handle.get()).status).toBe('waiting');
    bench.move(10_100);
    expect((await run.failure()).failure.code).toBe('WF_RUN_TIMEOUT');
    expect(caught).toEqual([]);
  });

  it('code that awaits a promise which never settles fails as WF_NO_PROGRESS', async () => {
    const run = await bench.start(async (ctx) => {
      await ctx.run('fine', () => 1);
      await new Promise(() => {});
    });
    expect((await run.failure()).failure.code).toBe('WF_NO_PROGRESS');
    expect(
      bench.linesWith(`Run ${run.runId} of "scripted" awaits something that is not a durable call`),
    ).not.toHaveLength(0);
  });

  describe('@OnFailure', () => {
    it('is called once with the error and the failed step, after the steps of run', async () => {
      const calls: unknown[] = [];
      let refunds = 0;
      const run = await bench.start(
        async (ctx) => {
          await ctx.run('charge', () => 1);
          await ctx.run('ship', () => Promise.reject(new CardDeclined('no truck')), { retries: 0 });
        },
        {
          workflow: Guarded,
          data: { order: 7 },
          onFailure: async (ctx) => {
            const { failedStep, error, payload } = ctx;
            const refund = await ctx.run('charge', () => ++refunds);
            await ctx.sleep('cool off', '1h');
            await ctx.run('tell', () => {
              calls.push({ failedStep, text: error.message, cause: error.cause?.name, payload, refund });
            });
          },
        },
      );
      await run.waitsFor('onFailure/cool off');
      expect((await run.handle.get()).status).toBe('waiting');
      bench.move(3_600_000);
      const error = await run.failure();
      expect(calls).toEqual([
        {
          failedStep: 'ship',
          text: error.failure.message,
          cause: 'CardDeclined',
          payload: { script: run.runId, data: { order: 7 } },
          refund: 1,
        },
      ]);
      expect(refunds).toBe(1);
      expect(await run.handle.get()).toMatchObject({ status: 'failed', error: { step: 'ship' } });
      const keys = (await run.journal()).map(({ key }) => key);
      expect(keys).toEqual([
        'charge',
        'ship',
        '@failure',
        'onFailure/charge',
        'onFailure/cool off',
        'onFailure/tell',
      ]);
    });

    it('is not called when the run is cancelled, from outside or by itself', async () => {
      const calls: string[] = [];
      const onFailure = async (): Promise<void> => void calls.push('called');
      const outside = await bench.start((ctx) => ctx.waitForEvent('never', Never(ctx.runId)), {
        workflow: Guarded,
        onFailure,
      });
      await outside.waitsFor('never');
      await outside.handle.cancel();
      expect((await outside.failure()).code).toBe('WF_RUN_CANCELLED');
      const itself = await bench.start((ctx) => ctx.cancel(), { workflow: Guarded, onFailure });
      expect((await itself.failure()).code).toBe('WF_RUN_CANCELLED');
      expect(calls).toEqual([]);
    });

    it('that fails itself leaves the run failed with the error of run', async () => {
      const run = await bench.start(() => Promise.reject(new TypeError('the error of run')), {
        workflow: Guarded,
        onFailure: async (ctx) => {
          await ctx.run('tell', () => Promise.reject(new Error('mail server down')), { retries: 0 });
        },
      });
      expect((await run.failure()).failure.message).toBe('the error of run');
      expect(bench.linesWith(`@OnFailure of run ${run.runId} failed`)).toHaveLength(1);
    });

    it('runs also when maxSteps has ended the run, and leaves the steps of run to nobody', async () => {
      const stop = new Latch();
      const calls: string[] = [];
      const run = await bench.start(
        async (ctx) => {
          void ctx.run('beside', () => stop.opened);
          for (;;) await ctx.run('again', () => 1);
        },
        {
          workflow: Guarded,
          onFailure: async (ctx) => void calls.push(await ctx.run('tell', () => ctx.error.code!)),
        },
      );
      expect((await run.failure()).failure.code).toBe('WF_MAX_STEPS');
      expect(calls[0]).toBe('WF_MAX_STEPS');
      stop.open();
    });
  });
});
