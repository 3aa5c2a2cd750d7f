import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bench, MODES, later } from './support.js';

const THIS = fileURLToPath(import.meta.url);

describe.each(MODES)('I/O awaited directly in run: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode, { overrides: { activationTimeoutMs: 2000 } });
  });
  afterAll(() => bench.dispose());

  it('works, and is warned of', async () => {
    const executed: string[] = [];
    const run = await bench.start(async (ctx) => {
      await later(20);
      const one = await ctx.run('one', () => executed.push('one'));
      const text = await readFile(THIS, 'utf8');
      const two = await ctx.run('two', () => executed.push('two'));
      await later(1);
      return [one, two, text.includes('I/O awaited directly')];
    });
    expect(await run.result()).toEqual([1, 2, true]);
    expect(executed).toEqual(['one', 'two']);
    const warnings = bench.linesWith(
      `Run ${run.runId} of "scripted" awaits something that is not a durable call`,
    );
    expect(warnings.length).toBeGreaterThan(0);
    expect(warnings[0]).toMatch(/^warn: /);
  });

  it('code that awaits durable calls only is not warned of', async () => {
    const run = await bench.start(async (ctx) => {
      await Promise.all([ctx.run('a', () => later(5)), ctx.sleep('nap', '5ms')]);
      await Promise.resolve().then(() => Promise.resolve());
      return ctx.run('b', () => 'b');
    });
    expect(await run.result()).toBe('b');
    expect(bench.linesWith(run.runId)).toEqual([]);
  });

  it('a step that is asked for after it is executed, once, while others are outstanding', async () => {
    const executed: string[] = [];
    const run = await bench.start(async (ctx) =>
      Promise.all([
        ctx.sleep('nap', '1h').then(() => 'slept'),
        (async () => {
          await later(20);
          await ctx.run('late', () => executed.push('late'));
          return ctx.run('later', () => executed.push('later'));
        })(),
      ]),
    );
    await run.has('later');
    bench.move(3_600_000);
    expect(await run.result()).toEqual(['slept', 2]);
    expect(executed).toEqual(['late', 'later']);
  });

  it('so are several that are asked for one after the other', async () => {
    const executed: string[] = [];
    const run = await bench.start(async (ctx) =>
      Promise.all([
        ctx.sleep('nap', '1h').then(() => 'slept'),
        ...[10, 25, 40].map(async (ms) => {
          await later(ms);
          return ctx.run(`after ${ms}`, () => executed.push(`after ${ms}`));
        }),
      ]),
    );
    await run.has('after 10', 'after 25', 'after 40');
    bench.move(3_600_000);
    expect(((await run.result()) as unknown[])[0]).toBe('slept');
    expect(executed.toSorted()).toEqual(['after 10', 'after 25', 'after 40']);
  });

  it('a wait that is asked for after it is waited for', async () => {
    const run = await bench.start(async (ctx) =>
      Promise.all([
        ctx.sleep('nap', '2h').then(() => 'slept'),
        later(20)
          .then(() => ctx.sleep('late nap', '1h'))
          .then(() => ctx.now().getTime()),
      ]),
    );
    await run.waitsFor('late nap');
    bench.move(3_600_000);
    await run.has('late nap');
    bench.move(3_600_000);
    expect(((await run.result()) as unknown[])[0]).toBe('slept');
  });

  it('code that never stops asking late fails as WF_ASYNC_OUTSIDE_STEP', async () => {
    const run = await bench.start(async (ctx) => {
      void ctx.sleep('nap', '1d');
      for (let delay = 60; ; delay *= 2) {
        await later(delay);
        void ctx.sleep('another nap', '1d');
      }
    });
    expect((await run.failure()).failure.code).toBe('WF_ASYNC_OUTSIDE_STEP');
  });
});
