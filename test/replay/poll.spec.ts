import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  currentStep,
  NonRetryableError,
  StepFailedError,
  defineEvent,
  type JournalEntry,
  type PollOptions,
} from 'nestjs-workflow';
import { Bench, Guarded, MODES, type TestRun } from './support.js';

const HOUR_MS = 3_600_000;
const HOURLY = { every: '1h', timeout: '10h', retries: 0 } as const satisfies PollOptions;
const Go = defineEvent<string>('poll-go');

/** The row of the poll once it has been looked at so often, and waits for the next look. */
async function looked(run: TestRun, attempts: number, key = 'ready'): Promise<JournalEntry> {
  const fits = (one: JournalEntry): boolean =>
    one.key === key && one.attempts === attempts && one.state === 'pending' && one.wakeAt !== null;
  const all = await run.journal((entries) => entries.some(fits));
  expect(all.filter((one) => one.key.startsWith(key))).toHaveLength(1);
  return all.find(fits)!;
}

/** Resolves once nobody has a lease on anything of the run. */
async function idle(run: TestRun): Promise<void> {
  await expect.poll(async () => (await run.handle.get()).status, { timeout: 20_000 }).toBe('waiting');
}

describe.each(MODES)('ctx.poll: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode);
  });
  afterAll(() => bench.dispose());

  it('looks at once and then at every turn, until there is something: one row, and what was found is journaled', async () => {
    const looks: number[] = [];
    const at = new Date(5);
    const run = await bench.start(async (ctx) => {
      const found = await ctx.poll(
        'ready',
        async (step) => {
          expect(step.idempotencyKey).toBe(currentStep().idempotencyKey);
          looks.push(currentStep().attempt);
          return looks.length < 4 ? undefined : { at, map: new Map([['a', 1n]]) };
        },
        HOURLY,
      );
      await ctx.sleep('nap', '1h');
      return found;
    });
    for (let n = 1; n < 4; n++) {
      const row = await looked(run, n);
      expect(row).toMatchObject({ kind: 'poll' });
      expect(row).not.toHaveProperty('error');
      expect(row).not.toHaveProperty('result');
      // within the ms to which it is rounded
      expect(Math.abs(row.wakeAt!.getTime() - row.askedAt.getTime() - n * HOUR_MS)).toBeLessThanOrEqual(1);
      await idle(run);
      bench.move(HOUR_MS);
    }
    await run.waitsFor('nap');
    bench.move(HOUR_MS);
    const value = { at, map: new Map([['a', 1n]]) };
    expect(await run.result()).toEqual({ timedOut: false, value });
    expect(looks).toEqual([1, 2, 3, 4]);
    const all = await bench.client.journal(run.runId);
    expect(all.map(({ key, position, attempts }) => [key, position, attempts])).toEqual([
      ['ready', 1, 4],
      ['nap', 2, 0],
    ]);
    expect(all[0]).toMatchObject({ state: 'journaled', result: value });
    expect(all[0]).not.toHaveProperty('timedOut');
  });

  it('takes null, false and 0 for something', async () => {
    const run = await bench.start(async (ctx) => {
      const found = [];
      for (const value of [null, false, 0, ''])
        found.push(await ctx.poll('ready', async () => value, HOURLY));
      return found;
    });
    expect(await run.result()).toEqual([null, false, 0, ''].map((value) => ({ timedOut: false, value })));
  });

  it('looks a last time at the deadline, and has timed out', async () => {
    let looks = 0;
    const run = await bench.start((ctx) =>
      ctx.poll(
        'ready',
        async () => {
          looks++;
          return undefined;
        },
        { ...HOURLY, timeout: '90m' },
      ),
    );
    await looked(run, 1);
    bench.move(HOUR_MS);
    const row = await looked(run, 2);
    expect(Math.abs(row.wakeAt!.getTime() - row.askedAt.getTime() - 1.5 * HOUR_MS)).toBeLessThanOrEqual(1);
    bench.move(HOUR_MS / 2);
    expect(await run.result()).toEqual({ timedOut: true, value: undefined });
    expect(looks).toBe(3);
    const [entry] = await bench.client.journal(run.runId);
    expect(entry).toMatchObject({ kind: 'poll', state: 'journaled', attempts: 3, timedOut: true });
    expect(entry).not.toHaveProperty('result');
  });

  it('after a long time without anybody looks once, not once for each turn', async () => {
    let looks = 0;
    const run = await bench.start((ctx) =>
      ctx.poll('ready', async () => (++looks < 3 ? undefined : looks), { ...HOURLY, timeout: '10d' }),
    );
    await looked(run, 1);
    bench.move(7.5 * HOUR_MS);
    const row = await looked(run, 2);
    expect(Math.abs(row.wakeAt!.getTime() - row.askedAt.getTime() - 8 * HOUR_MS)).toBeLessThanOrEqual(1);
    bench.move(HOUR_MS);
    expect(await run.result()).toEqual({ timedOut: false, value: 3 });
  });

  it('beside other steps is a task of its own, and holds nobody up', async () => {
    const looks: Record<string, number[]> = { left: [], right: [] };
    const look = (key: 'left' | 'right') => async () => {
      looks[key]!.push(currentStep().attempt);
      return looks[key]!.length < 3 ? undefined : key;
    };
    const run = await bench.start(async (ctx) => {
      const [left, right, event] = await Promise.all([
        ctx.poll('left', look('left'), HOURLY),
        ctx.poll('right', look('right'), { ...HOURLY, timeout: '1h' }),
        ctx.waitForEvent('go', Go(ctx.runId)).then(({ data }) => ctx.run('after', () => `${data}!`)),
      ]);
      return [left, right, event];
    });
    await looked(run, 1, 'left');
    await looked(run, 1, 'right');
    await idle(run);
    await run.handle.notify(Go(run.runId), 'go');
    await run.has('after');
    await idle(run);
    bench.move(HOUR_MS);
    await looked(run, 2, 'left');
    await run.has('right');
    bench.move(HOUR_MS);
    expect(await run.result()).toEqual([
      { timedOut: false, value: 'left' },
      { timedOut: true, value: undefined },
      'go!',
    ]);
    expect(looks).toEqual({ left: [1, 2, 3], right: [1, 2] });
    expect(await bench.client.journal(run.runId)).toHaveLength(4);
  });

  it.each(['alone', 'beside another'])(
    'an error is a look that failed: repeated by the retry policy, counted in a row, %s',
    async (how) => {
      // two failures, nothing, two failures, something: with two retries that is well
      const script = ['no', 'no', undefined, 'no', 'no', 'something'];
      let looks = 0;
      const run = await bench.start(async (ctx) => {
        const poll = ctx.poll(
          'ready',
          async () => {
            const next = script[looks++];
            if (next === 'no') throw new Error(`failure ${looks}`);
            return next;
          },
          { ...HOURLY, retries: 2, retryDelay: '1m' },
        );
        const beside = how === 'alone' ? undefined : ctx.sleep('beside', '20h');
        const found = await poll;
        await beside;
        return found;
      });
      const waits: number[] = [];
      for (let n = 1; n <= 5; n++) {
        const row = await looked(run, n);
        expect(row.error?.message).toBe(n === 3 ? undefined : `failure ${n}`);
        const wait = row.wakeAt!.getTime() - row.askedAt.getTime();
        waits.push(Math.round(wait / 60_000));
        await idle(run);
        bench.move(n === 3 ? HOUR_MS - 120_000 : 60_000);
      }
      expect(waits).toEqual([1, 2, 60, 61, 62]);
      if (how !== 'alone') {
        await run.has('ready');
        bench.move(20 * HOUR_MS);
      }
      expect(await run.result()).toEqual({ timedOut: false, value: 'something' });
      const [entry] = await bench.client.journal(run.runId);
      expect(entry).toMatchObject({ attempts: 6, result: 'something' });
      expect(entry).not.toHaveProperty('error');
    },
  );

  it('more failures in a row than retries fail the step, live and replayed; so does a final error', async () => {
    const views: unknown[][] = [];
    let looks = 0;
    const run = await bench.start(async (ctx) => {
      const poll = (name: string, error: () => Error) =>
        ctx
          .poll(name, async () => (++looks === 1 ? undefined : Promise.reject(error())), {
            ...HOURLY,
            retries: 1,
            retryDelay: '1ms',
          })
          .catch((error: StepFailedError) => views.push([error.step, error.attempts, error.failure.message]));
      await poll('ready', () => new Error(`failure ${looks}`));
      await poll('final', () => new NonRetryableError('gone'));
      await ctx.sleep('nap', '1h');
      return views.length;
    });
    await looked(run, 1);
    bench.move(HOUR_MS);
    await run.waitsFor('nap');
    bench.move(HOUR_MS);
    await run.result();
    const both = [
      ['ready', 3, 'failure 3'],
      ['final', 1, 'gone'],
    ];
    expect(views.length).toBeGreaterThan(2);
    for (const [key, ...rest] of views) expect([key, ...rest]).toEqual(both.find(([name]) => name === key));
    expect(views.slice(-2)).toEqual(both);
    expect(looks).toBe(4);
  });

  it('a result that cannot be stored fails the step', async () => {
    const run = await bench.start((ctx) =>
      ctx.poll('ready', async () => (() => 1) as unknown as number, { ...HOURLY, retries: 3 }),
    );
    expect((await run.failure()).failure.code).toBe('WF_STEP_FAILED');
    const [entry] = await bench.client.journal(run.runId);
    expect(entry).toMatchObject({ attempts: 1, error: { code: 'WF_NOT_SERIALIZABLE' } });
  });

  it.each(['alone', 'beside another'])('a cancelled run looks no more, %s', async (how) => {
    let looks = 0;
    const run = await bench.start(async (ctx) => {
      const poll = ctx.poll(
        'ready',
        async () => {
          looks++;
          return undefined;
        },
        HOURLY,
      );
      return Promise.all(how === 'alone' ? [poll] : [poll, ctx.sleep('beside', '20h')]);
    });
    await looked(run, 1);
    await idle(run);
    await run.handle.cancel();
    bench.move(9 * HOUR_MS);
    // another run of the same time is through, so this one would have been looked at
    const other = await bench.start((ctx) => ctx.poll('ready', async () => 1, HOURLY));
    await other.result();
    expect(looks).toBe(1);
    expect((await run.handle.get()).status).toBe('cancelled');
  });

  it('a run that has failed beside it looks no more', async () => {
    let looks = 0;
    const run = await bench.start(
      async (ctx) => {
        await Promise.all([
          ctx.poll(
            'ready',
            async () => {
              looks++;
              return undefined;
            },
            HOURLY,
          ),
          ctx.sleep('half', '30m').then(() => Promise.reject(new Error('enough'))),
        ]);
      },
      {
        workflow: Guarded,
        onFailure: async (ctx) => {
          await ctx.sleep('repent', '3h');
        },
      },
    );
    await looked(run, 1);
    await idle(run);
    bench.move(HOUR_MS / 2);
    await run.waitsFor('onFailure/repent');
    bench.move(2 * HOUR_MS);
    // its task finds that nobody waits for it
    await run.journal((all) => all.some(({ key, state }) => key === 'ready' && state !== 'pending'));
    bench.move(HOUR_MS);
    await run.failure();
    expect(looks).toBe(1);
  });

  it('refuses what makes no sense, before anything is asked', async () => {
    const run = await bench.start(async (ctx) => {
      const code = (act: () => unknown): Promise<unknown> =>
        new Promise((resolve) => resolve(act())).then(
          () => 'fine',
          (error: { code?: string }) => error.code,
        );
      const poll = (options: unknown) => code(() => ctx.poll('p', async () => 1, options as PollOptions));
      return [
        await poll({ every: '0s', timeout: '1h' }),
        await poll({ every: '1 hour', timeout: '1h' }),
        await poll({ every: '1h' }),
        await poll({ timeout: '1h' }),
        await poll(undefined),
        await poll({ ...HOURLY, retries: -1 }),
        await poll({ ...HOURLY, retryDelay: '1s', backoff: {} }),
        await code(() => ctx.poll('', async () => 1, HOURLY)),
        await ctx.run('inside', () => code(() => ctx.poll('p', async () => 1, HOURLY))),
      ];
    });
    expect(await run.result()).toEqual([
      'WF_INVALID_ARGUMENT',
      'WF_INVALID_DURATION',
      'WF_INVALID_DURATION',
      'WF_INVALID_DURATION',
      'WF_INVALID_DURATION',
      'WF_INVALID_OPTIONS',
      'WF_INVALID_OPTIONS',
      'WF_INVALID_ARGUMENT',
      'WF_INVALID_ARGUMENT',
    ]);
    expect(await bench.client.journal(run.runId)).toHaveLength(1);
  });
});
