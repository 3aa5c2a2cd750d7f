import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FRESH, Bench, redeploy, type Script, type TestRun } from './support.js';

const HOUR = 3_600_000;

/** What docs/changing-workflows.md says of changes under runs in flight: each run has done `a` and `b`, and sleeps. */
describe('code that is changed under a run', () => {
  let bench: Bench;
  let did: string[];
  const step = (name: string) => (): string => {
    did.push(name);
    return name;
  };
  beforeAll(async () => {
    bench = await Bench.start(FRESH);
  });
  afterAll(() => bench?.dispose());

  async function changed(after: Script): Promise<TestRun> {
    did = [];
    const run = await bench.start(async (ctx) => {
      const done = [await ctx.run('a', step('a')), await ctx.run('b', step('b'))];
      await ctx.sleep('pause', '1h');
      return [...done, await ctx.run('c', step('c'))];
    });
    await run.waitsFor('pause');
    redeploy(run.runId, after);
    bench.move(HOUR);
    return run;
  }

  it('executes a new body of what is still to come, and keeps what was recorded', async () => {
    const run = await changed(async (ctx) => {
      const done = [await ctx.run('a', step('A')), await ctx.run('b', step('B'))];
      await ctx.sleep('pause', '1h');
      return [...done, await ctx.run('c', step('C'), { retries: 9 })];
    });
    expect(await run.result()).toEqual(['a', 'b', 'C']);
    expect(did).toEqual(['a', 'b', 'C']);
  });

  it('executes a step that was added before others late, in runs that are past it', async () => {
    const run = await changed(async (ctx) => {
      await ctx.run('first', step('first'));
      const done = [await ctx.run('a', step('a')), await ctx.run('b', step('b'))];
      await ctx.sleep('pause', '1h');
      return [...done, await ctx.run('c', step('c')), await ctx.run('last', step('last'))];
    });
    expect(await run.result()).toEqual(['a', 'b', 'c', 'last']);
    expect(did).toEqual(['a', 'b', 'first', 'c', 'last']);
  });

  it('does not miss a step that was taken out', async () => {
    const run = await changed(async (ctx) => {
      const a = await ctx.run('a', step('a'));
      await ctx.sleep('pause', '1h');
      return [a];
    });
    expect(await run.result()).toEqual(['a']);
  });

  it('executes a step again that has got another name', async () => {
    const run = await changed(async (ctx) => {
      const done = [await ctx.run('a', step('a')), await ctx.run('B', step('B'))];
      await ctx.sleep('pause', '1h');
      return done;
    });
    expect(await run.result()).toEqual(['a', 'B']);
    expect(did).toEqual(['a', 'b', 'B']);
  });

  it('takes the answers of its namesakes for those of a call that was put before them', async () => {
    const run = await bench.start(async (ctx) => {
      const mail = await ctx.run('mail', () => 'to ann');
      await ctx.sleep('pause', '1h');
      return mail;
    });
    await run.waitsFor('pause');
    redeploy(run.runId, async (ctx) => {
      const mails = [await ctx.run('mail', () => 'to bob'), await ctx.run('mail', () => 'to ann again')];
      await ctx.sleep('pause', '1h');
      return mails;
    });
    bench.move(HOUR);
    expect(await run.result()).toEqual(['to ann', 'to ann again']);
  });

  it('holds the run as stuck where a key has become another kind, until the code fits again', async () => {
    const run = await changed(async (ctx) => {
      await ctx.sleep('a', '1h');
    });
    const stuck = async (): Promise<string | undefined> => {
      const now = await bench.client.get(run.runId);
      return 'stuck' in now ? now.stuck : undefined;
    };
    await expect
      .poll(stuck, { timeout: 20_000 })
      .toContain('is recorded as a step, but the code now runs it as a sleep');
    const { runs } = await bench.client.list({ stuck: true });
    expect(runs.map(({ runId }) => runId)).toContain(run.runId);
    redeploy(run.runId, (ctx) => ctx.run('a', step('a')));
    expect(await bench.client.resume(run.runId)).toEqual({ resumed: [run.runId] });
    expect(await run.result()).toBe('a');
  });
});
