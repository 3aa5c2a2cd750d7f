import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WorkflowContext } from 'nestjs-workflow';
import { FRESH, MODES, ON_DISK, Bench, redeploy, Retried, type Script, type TestRun } from './support.js';

/** What a run did, in order: which way it took where the code was changed. */
const log = (): { way: string[]; note: (text: string) => () => string } => {
  const way: string[] = [];
  return {
    way,
    note: (text) => () => {
      way.push(text);
      return text;
    },
  };
};

const ways = async (run: TestRun): Promise<unknown> => run.result();

describe.each(MODES)('ctx.patched: $name', (mode) => {
  let started: Bench;
  beforeAll(async () => {
    started = await Bench.start(mode);
  });
  afterAll(() => started?.dispose());
  const bench = (): Bench => started;

  it('gives the new way to a run that is new', async () => {
    const { way, note } = log();
    const run = await bench().start(async (ctx) => {
      if (ctx.patched('twice')) await ctx.run('new', note('new'));
      else await ctx.run('old', note('old'));
      await ctx.run('after', note('after'));
      return [ctx.patched('twice'), ctx.patched('other')];
    });
    expect(await ways(run)).toEqual([true, true]);
    expect(way).toEqual(['new', 'after']);
    const marks = (await run.journal()).filter(({ kind }) => kind === 'patch');
    expect(marks.map(({ key, state }) => [key, state])).toEqual([
      ['@patched/twice', 'journaled'],
      ['@patched/other', 'journaled'],
    ]);
  });

  it('keeps a run that has passed the place on the old way', async () => {
    const { way, note } = log();
    const run = await bench().start(async (ctx) => {
      await ctx.run('old', note('old'));
      await ctx.sleep('pause', '1h');
      return 'old';
    });
    await run.waitsFor('pause');
    redeploy(run.runId, async (ctx) => {
      const first = ctx.patched('a');
      if (first) await ctx.run('new', note('new'));
      else await ctx.run('old', note('old'));
      await ctx.sleep('pause', '1h');
      const second = ctx.patched('b');
      if (second) await ctx.run('added', note('added'));
      return [first, second];
    });
    bench().move(3_600_000);
    expect(await ways(run)).toEqual([false, true]);
    expect(way).toEqual(['old', 'added']);
  });

  it('decides each call of a loop, and all after the first that is new', async () => {
    const { way, note } = log();
    const loop =
      (decide: (ctx: WorkflowContext<any>) => boolean): Script =>
      async (ctx) => {
        const seen: boolean[] = [];
        for (let i = 0; i < 4; i++) {
          const patched = decide(ctx);
          seen.push(patched);
          await ctx.run(patched ? 'new' : 'old', note(patched ? 'new' : 'old'));
          await ctx.sleep('pause', '1h');
        }
        return seen;
      };
    const run = await bench().start(loop(() => false));
    await run.waitsFor('pause');
    bench().move(3_600_000);
    await run.waitsFor('pause#2');
    redeploy(
      run.runId,
      loop((ctx) => ctx.patched('loop')),
    );
    bench().move(3_600_000);
    await run.waitsFor('pause#3');
    bench().move(3_600_000);
    await run.waitsFor('pause#4');
    bench().move(3_600_000);
    expect(await ways(run)).toEqual([false, false, true, true]);
    expect(way).toEqual(['old', 'old', 'new', 'new']);
    const marks = (await run.journal()).filter(({ kind }) => kind === 'patch');
    expect(marks).toHaveLength(1);
  });

  it('works beside parallel steps, and in branches of its own', async () => {
    const { way, note } = log();
    const run = await bench().start(async (ctx) => {
      const branch = async (name: string): Promise<boolean> => {
        await ctx.run(`first-${name}`, note('first'));
        const patched = ctx.patched(name);
        await ctx.run(`${patched ? 'new' : 'old'}-${name}`, note(patched ? 'new' : 'old'));
        return patched;
      };
      return Promise.all([branch('a'), branch('b'), branch('c')]);
    });
    expect(await ways(run)).toEqual([true, true, true]);
    expect(way.toSorted()).toEqual(['first', 'first', 'first', 'new', 'new', 'new']);
  });

  it('stays as it was when the run is tried again after an error of its own', async () => {
    let failed = false;
    const run = await bench().start(
      async (ctx) => {
        await ctx.run('a', () => 1);
        const patched = ctx.patched('p');
        await ctx.run('b', () => 2);
        if (!failed) {
          failed = true;
          throw new Error('once');
        }
        // right behind the last answer that is recorded it cannot be known who has passed: the old way is always there
        const behind = ctx.patched('q');
        await ctx.run('c', () => 3);
        return [patched, behind, ctx.patched('r')];
      },
      { workflow: Retried },
    );
    expect(await ways(run)).toEqual([true, false, true]);
  });

  it('is refused inside a step, and for an id that is none', async () => {
    const run = await bench().start(async (ctx) => {
      const said = await ctx.run('step', () => {
        try {
          ctx.patched('p');
          return 'nothing';
        } catch (error) {
          return (error as Error).message;
        }
      });
      let bad = '';
      try {
        ctx.patched('');
      } catch (error) {
        bad = (error as Error).message;
      }
      return [said, bad];
    });
    expect(await ways(run)).toEqual([
      expect.stringContaining('ctx.patched("p") is called inside the step "step"'),
      expect.stringContaining('The id of ctx.patched must be a string'),
    ]);
  });

  it('keeps its keys from steps', async () => {
    const run = await bench().start((ctx) => ctx.run('@patched/p', () => 1));
    expect((await run.failure()).message).toContain('begins with "@patched/"');
  });
});

describe('ctx.patched after a restart', () => {
  it('gives what the process before has decided, and the old way where old code has passed', async () => {
    const first = await Bench.start(ON_DISK);
    const { way, note } = log();
    const body: Script = async (ctx) => {
      const start = ctx.patched('start');
      await ctx.run(start ? 'new' : 'old', note(start ? 'new' : 'old'));
      await ctx.sleep('pause', '1h');
      return [start, ctx.patched('start'), ctx.patched('later')];
    };
    const run = await first.start(body);
    const old = await first.start(async (ctx) => {
      await ctx.run('old', note('old'));
      await ctx.sleep('pause', '1h');
    });
    await run.waitsFor('pause');
    await old.waitsFor('pause');
    await first.stop();
    redeploy(old.runId, body);
    const second = await Bench.start(ON_DISK, { database: first.database });
    second.move(3_600_000);
    const result = (runId: string) => second.client.run('scripted', runId).result({ timeout: '20s' });
    expect(await result(run.runId)).toEqual([true, true, true]);
    expect(await result(old.runId)).toEqual([false, true, true]);
    expect(way.toSorted()).toEqual(['new', 'old']);
    await second.dispose();
  });

  it('may be taken out of the code again: the mark is left alone', async () => {
    const bench = await Bench.start(FRESH);
    const run = await bench.start(async (ctx) => {
      ctx.patched('old-news');
      await ctx.run('a', () => 1);
      await ctx.sleep('pause', '1h');
      return 'marked';
    });
    await run.waitsFor('pause');
    redeploy(run.runId, async (ctx) => {
      await ctx.run('a', () => 2);
      await ctx.sleep('pause', '1h');
      ctx.logger.log('said once');
      return 'clean';
    });
    bench.move(3_600_000);
    expect(await run.result()).toBe('clean');
    expect(bench.linesWith('said once')).toHaveLength(1);
    await bench.dispose();
  });
});
