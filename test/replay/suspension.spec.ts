import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WorkflowScheduler, defineEvent } from 'nestjs-workflow';
import { Bench, Latch, MODES, later } from './support.js';

const Go = defineEvent<number>('go');

describe.each(MODES)('suspension is no exception in user code: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode);
  });
  afterAll(() => bench.dispose());

  it('no catch and no finally ever sees the engine, around whatever is awaited', async () => {
    const caught: string[] = [];
    const replays: string[][] = [];
    const [taskA, taskB, begunA, begunB] = [new Latch(), new Latch(), new Latch(), new Latch()];
    const executes = (begun: Latch, task: Latch): Promise<void> => {
      begun.open();
      return task.opened;
    };
    let attempts = 0;
    const run = await bench.start(async (ctx) => {
      const left: string[] = [];
      replays.push(left);
      const guarded = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
        try {
          return await work();
        } catch (error) {
          caught.push(`${name}: ${String(error)}`);
          throw error;
        } finally {
          left.push(name);
        }
      };
      await guarded('step', () => ctx.run('step', () => 1));
      await guarded('sleep', () => ctx.sleep('sleep', '1h'));
      await guarded('until', () => ctx.sleepUntil('until', new Date(ctx.now().getTime() + 3_600_000)));
      await guarded('retry', () =>
        ctx.run('retry', () => {
          if (++attempts < 3) throw new Error('not yet');
        }),
      );
      await guarded('wait', () => ctx.waitForEvent('wait', Go(ctx.runId)));
      await guarded('timed wait', () => ctx.waitForEvent('timed wait', Go('nobody'), { timeout: '1h' }));
      await guarded('tasks', () =>
        Promise.all([
          guarded('a', () => ctx.run('a', () => executes(begunA, taskA))),
          guarded('b', () => ctx.run('b', () => executes(begunB, taskB))),
        ]),
      );
      return 'end';
    });
    const longest = (): string[] => replays.toSorted((x, y) => y.length - x.length)[0]!;
    const order = ['step', 'sleep', 'until', 'retry', 'wait', 'timed wait'];

    await run.waitsFor('sleep');
    expect(longest()).toEqual(order.slice(0, 1));
    bench.move(3_600_000);
    await run.waitsFor('until');
    expect(longest()).toEqual(order.slice(0, 2));
    bench.move(3_600_000);
    await run.waitsFor('wait');
    expect(longest()).toEqual(order.slice(0, 4));
    await run.handle.notify(Go(run.runId), 1);
    await run.waitsFor('timed wait');
    expect(longest()).toEqual(order.slice(0, 5));
    bench.move(3_600_000);
    await Promise.all([begunA.opened, begunB.opened]);
    expect(longest()).toEqual(order);
    taskB.open();
    await run.has('b');
    expect(longest()).toEqual([...order, 'b']);
    taskA.open();
    expect(await run.result()).toBe('end');

    const all = [...order, 'b', 'a', 'tasks'];
    expect(longest()).toEqual(all);
    // whatever a replay left, it left in the same order, and only because of an answer
    for (const left of replays) expect(left).toEqual(all.slice(0, left.length));
    expect(caught).toEqual([]);
    expect(replays.length).toBeGreaterThan(mode.fresh ? 5 : 0);
    expect(attempts).toBe(3);
  });

  it('a promise of a step that is not ready stays pending, also when it is looked at late', async () => {
    const run = await bench.start(async (ctx) => {
      const pending = ctx.waitForEvent('go', Go(ctx.runId));
      await ctx.run('first', () => 1);
      await ctx.sleep('nap', '1h');
      const then = await pending;
      return then.data;
    });
    await run.waitsFor('go', 'nap');
    await run.handle.notify(Go(run.runId), 7);
    await run.has('go');
    bench.move(3_600_000);
    expect(await run.result()).toBe(7);
  });

  it('a run that waits holds nothing: no task is leased and no delivery is under way', async () => {
    const run = await bench.start((ctx) => ctx.sleep('nap', '1h'));
    await run.waitsFor('nap');
    const scheduler = bench.app.get(WorkflowScheduler);
    while (scheduler.active > 0) await later(5);
    expect((await run.handle.get()).status).toBe('waiting');
    bench.move(3_600_000);
    await run.result();
  });
});
