import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defineEvent } from 'nestjs-workflow';
import { Barrier, Bench, Latch, MODES } from './support.js';

const Ping = defineEvent<number>('ping');

describe.each(MODES)('branches of a run: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode);
  });
  afterAll(() => bench.dispose());

  it('a timeout of 5 s beside a step of 10 minutes fires after 5 s, the run ends, and the signal of the step fires', async () => {
    const started = new Latch();
    const aborted = new Latch<string>();
    const run = await bench.start((ctx) =>
      Promise.race([
        ctx.run('long', async ({ signal }) => {
          started.open();
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
          aborted.open('aborted');
          return 'step';
        }),
        ctx.sleep('limit', '5s').then(() => 'sleep'),
      ]),
    );
    await started.opened;
    await run.waitsFor('limit');
    // the time of the machine goes on as well, and it may be busy
    bench.move(2000);
    expect((await run.handle.get()).status).not.toBe('completed');
    bench.move(3100);
    expect(await run.result()).toBe('sleep');
    expect(await aborted.opened).toBe('aborted');
    expect((await run.journal()).find(({ key }) => key === 'long')?.state).toBe('pending');
  });

  it('branches with several steps each go on side by side', async () => {
    const first = new Barrier(2);
    const second = new Barrier(2);
    const run = await bench.start(async (ctx) => {
      const branch = async (name: string): Promise<string> => {
        await ctx.run(`${name}1`, () => first.arrive());
        await ctx.run(`${name}2`, () => second.arrive());
        return name;
      };
      return Promise.all([branch('a'), branch('b')]);
    });
    // each step waits for the one in the other branch: one after the other they would never end
    expect(await run.result()).toEqual(['a', 'b']);
    const order = (await run.journal()).map(({ key }) => key[1]);
    expect(order).toEqual(['1', '1', '2', '2']);
  });

  it('a branch is not held up by a slower one', async () => {
    const done = new Latch();
    const run = await bench.start((ctx) =>
      Promise.all([
        ctx.run('slow', async () => {
          await done.opened;
        }),
        (async () => {
          await ctx.run('quick1', () => 1);
          await ctx.run('quick2', () => done.open());
        })(),
      ]),
    );
    await run.result();
    expect((await run.journal())[0]!.key).toBe('quick1');
  });

  it('a race of wrappers of different depth has the same winner in every replay', async () => {
    const winners: string[] = [];
    const both = new Barrier(2);
    const run = await bench.start(async (ctx) => {
      const deep = async (): Promise<string> => {
        const inner = async (): Promise<string> => {
          const innermost = async (): Promise<string> =>
            ctx.run('deep', () => both.arrive().then(() => 'deep'));
          return await innermost();
        };
        return await inner().finally(() => {});
      };
      const winner = await Promise.race([deep(), ctx.run('flat', () => both.arrive().then(() => 'flat'))]);
      winners.push(winner);
      await ctx.sleep('nap', '1h');
      await ctx.run('after', () => 1);
      await ctx.sleep('another nap', '1h');
      return winner;
    });
    await run.waitsFor('nap');
    bench.move(3_600_000);
    await run.waitsFor('another nap');
    bench.move(3_600_000);
    const winner = await run.result();
    expect(new Set(winners)).toEqual(new Set([winner]));
    // the winner is the one that was journaled first, however deep its wrapper
    expect((await run.journal())[0]!.key).toBe(winner);
    expect(winners.length).toBeGreaterThan(mode.fresh ? 1 : 0);
  });

  it('any gives the first success and allSettled every outcome, also nested', async () => {
    const run = await bench.start(async (ctx) => {
      const no = (name: string): Promise<never> =>
        ctx.run(name, () => Promise.reject(new Error(`no ${name}`)), { retries: 0 });
      const any = await Promise.any([no('a'), ctx.run('b', () => 'b'), no('c')]);
      const settled = await Promise.allSettled([
        no('d'),
        Promise.all([
          ctx.run('e', () => 'e'),
          Promise.race([ctx.run('f', () => 'f'), ctx.sleep('nap', '1h')]),
        ]),
      ]);
      const none = await Promise.any([no('g'), no('h')]).catch((error: AggregateError) =>
        error.errors.map((one: Error & { failure: Error }) => one.failure.message),
      );
      return [
        any,
        settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason.failure.message)),
        none,
      ];
    });
    expect(await run.result()).toEqual(['b', ['no d', ['e', 'f']], ['no g', 'no h']]);
    expect(run.replays).toBeGreaterThan(mode.fresh ? 1 : 0);
  });

  it('a loop of race([wait, sleep]) loses no event', async () => {
    const run = await bench.start(async (ctx) => {
      const got: number[] = [];
      for (let naps = 0; got.length < 20;) {
        const winner = await Promise.race([
          ctx.waitForEvent('ping', Ping(ctx.runId)),
          ctx.sleep('nap', '1s').then(() => null),
        ]);
        if (winner) got.push(winner.data);
        else if (++naps > 100) throw new Error('slept for ever');
      }
      return got;
    });
    for (let n = 0; n < 20; n++) {
      // the nap and the event are both there for the activation that this wakes
      if (n % 3 === 0) bench.clock.move(1000);
      await run.handle.notify(Ping(run.runId), n);
      if (n % 3 === 1) bench.move(1000);
    }
    // also two events of one millisecond of the movable clock come in the order in which they were sent
    expect(await run.result()).toEqual([...Array(20).keys()]);
  });

  it('a loop of waits with a timeout loses no event, also when both are due', async () => {
    const run = await bench.start(async (ctx) => {
      const got: number[] = [];
      for (let timeouts = 0; got.length < 20;) {
        const one = await ctx.waitForEvent('ping', Ping(ctx.runId), { timeout: '1s' });
        if (!one.timedOut) got.push(one.data);
        else if (++timeouts > 100) throw new Error('waited for ever');
      }
      return got;
    });
    for (let n = 0; n < 20; n++) {
      if (n % 3 === 0) bench.clock.move(1000);
      await run.handle.notify(Ping(run.runId), n);
      if (n % 3 === 1) bench.move(1000);
    }
    // also two events of one millisecond of the movable clock come in the order in which they were sent
    expect(await run.result()).toEqual([...Array(20).keys()]);
  });

  it('an event that was sent before the run waits, or while it is busy, is kept for it', async () => {
    const go = new Latch();
    const run = await bench.start(async (ctx) => {
      await ctx.run('busy', () => go.opened);
      const first = await ctx.waitForEvent('first', Ping(ctx.runId));
      await ctx.run('work', () => 1);
      const second = await ctx.waitForEvent('second', Ping(ctx.runId));
      return [first.data, second.data];
    });
    await run.handle.notify(Ping(run.runId), 1);
    await run.handle.notify(Ping(run.runId), 2);
    go.open();
    expect(await run.result()).toEqual([1, 2]);
  });
});
