import { afterEach, describe, expect, it } from 'vitest';
import { Injectable } from '@nestjs/common';
import { NonRetryableError, RetryAfterError, Step, StepFailedError, currentStep } from 'nestjs-workflow';
import { Bench, Guarded, MODES, ON_DISK, later, redeploy, type BenchOptions, type Mode } from './support.js';

let executed: string[] = [];

@Injectable()
class Steps {
  /** Its second call is not ready before the restart. */
  @Step()
  async value(of: string): Promise<string> {
    const { attempt, step } = currentStep();
    executed.push(`${step} ${attempt}`);
    if (of === 'b' && attempt === 1) throw new RetryAfterError('not yet', '1h');
    return `value of ${of}`;
  }
}

const LASTING: readonly Mode[] = [ON_DISK, ...MODES.filter(({ database }) => database.name === 'postgres')];

describe.each(LASTING)('a restart of the application: $name', (mode) => {
  let bench: Bench | undefined;
  afterEach(async () => {
    await bench?.dispose();
    bench = undefined;
    executed = [];
  });
  const options: BenchOptions = { providers: [Steps] };
  const restart = async (old: Bench): Promise<Bench> => {
    await old.stop();
    const { loadDataDir: _, ...database } = old.database;
    return Bench.start(mode, { ...options, database });
  };

  it('in the middle leaves two equal-named steps of two branches each its own value', async () => {
    bench = await Bench.start(mode, options);
    const run = await bench.start(async () => {
      const steps = bench!.app.get(Steps);
      return Promise.all(['a', 'b', 'c'].map((of) => steps.value(of)));
    });
    await run.journal((all) => all.filter(({ attempts }) => attempts > 0).length === 3);
    const before = [...executed];
    expect(before.toSorted()).toEqual(['Steps.value 1', 'Steps.value#2 1', 'Steps.value#3 1']);
    bench = await restart(bench);
    bench.move(3_600_000);
    const result = await bench.client.run('scripted', run.runId).result({ timeout: '20s' });
    expect(result).toEqual(['value of a', 'value of b', 'value of c']);
    expect(executed.slice(before.length)).toEqual(['Steps.value#2 2']);
  });

  it('in the middle of a sleep, a caught failure behind it, gives the same failure', async () => {
    bench = await Bench.start(mode, options);
    const seen: unknown[] = [];
    const run = await bench.start(async (ctx) => {
      const error = (await ctx
        .run('charge', () => Promise.reject(new NonRetryableError('declined')))
        .catch((thrown: unknown) => thrown)) as StepFailedError;
      seen.push([String(error), error.step, error.attempts, error.failure, error.is(NonRetryableError)]);
      await ctx.sleep('nap', '30d');
      return error instanceof StepFailedError;
    });
    await run.waitsFor('nap');
    bench = await restart(bench);
    bench.move(30 * 86_400_000);
    expect(await bench.client.run('scripted', run.runId).result({ timeout: '20s' })).toBe(true);
    expect(seen.length).toBeGreaterThan(1);
    for (const one of seen) expect(one).toEqual(seen[0]);
  });

  it('in the middle of @OnFailure goes on there: it is not begun again, and run is over', async () => {
    bench = await Bench.start(mode, options);
    let runs = 0;
    const run = await bench.start(
      async (ctx) => {
        runs++;
        await ctx.run('charge', () => Promise.reject(new NonRetryableError('declined')));
      },
      {
        workflow: Guarded,
        onFailure: async (ctx) => {
          await ctx.run('refund', () => executed.push('refund'));
          await ctx.sleep('nap', '1h');
          await ctx.run('tell', () => executed.push(`tell ${ctx.failedStep} ${ctx.error.cause?.message}`));
        },
      },
    );
    await run.waitsFor('onFailure/nap');
    const before = runs;
    bench = await restart(bench);
    bench.move(3_600_000);
    const ended = bench.client.run('guarded', run.runId);
    await expect(ended.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
    expect(executed).toEqual(['refund', 'tell charge declined']);
    expect(runs).toBe(before);
    expect(await ended.get()).toMatchObject({ status: 'failed', error: { step: 'charge' } });
  });

  it.each([
    ['a wait that is still open', 'nap'],
    ['an answer that is a fact', 'first'],
  ])(
    'with code that asks for %s as another kind leaves the run stuck, until the right code is back',
    async (_, key) => {
      bench = await Bench.start(mode, options);
      const right: Parameters<typeof redeploy>[1] = async (ctx) => {
        const first = await ctx.run('first', () => executed.push('first'));
        await ctx.sleep('nap', '1h');
        return first;
      };
      const run = await bench.start(right);
      await run.waitsFor('nap');
      bench = await restart(bench);
      redeploy(run.runId, async (ctx) => {
        if (key === 'first') await ctx.sleep('first', '1h');
        else await ctx.run('first', () => executed.push('first'));
        await ctx.run('nap', () => executed.push('wrong'));
      });
      bench.move(3_600_000);
      const handle = bench.client.run('scripted', run.runId);
      const stuck = async (): Promise<string | undefined> => {
        const now = await handle.get();
        return now.status === 'waiting' ? now.stuck : undefined;
      };
      let said = await stuck();
      while (said === undefined) {
        await later(5);
        said = await stuck();
      }
      const [recorded, asked] = key === 'nap' ? ['sleep', 'step'] : ['step', 'sleep'];
      expect(said).toContain(`Step "${key}" of run ${run.runId} is recorded as a ${recorded}`);
      expect(said).toContain(`now runs it as a ${asked}`);
      expect(said).toContain('[WF_NON_DETERMINISM]');
      expect(bench.linesWith(said).length).toBeGreaterThan(0);
      redeploy(run.runId, right);
      bench.move(60_000);
      expect(await handle.result({ timeout: '20s' })).toBe(1);
      expect(executed).toEqual(['first']);
      expect((await handle.get()).status).toBe('completed');
    },
  );

  it('with a step inserted before recorded ones goes on with it: keys, not positions, identify steps', async () => {
    bench = await Bench.start(mode, options);
    const step = (
      ctx: { run(name: string, fn: () => number): Promise<number> },
      name: string,
    ): Promise<number> => ctx.run(name, () => executed.push(name));
    const run = await bench.start(async (ctx) => {
      await step(ctx, 'one');
      await ctx.sleep('nap', '1h');
      await step(ctx, 'two');
    });
    await run.waitsFor('nap');
    bench = await restart(bench);
    redeploy(run.runId, async (ctx) => {
      await step(ctx, 'zero');
      await step(ctx, 'one');
      await ctx.sleep('nap', '1h');
      await step(ctx, 'two');
    });
    bench.move(3_600_000);
    await bench.client.run('scripted', run.runId).result({ timeout: '20s' });
    expect(executed).toEqual(['one', 'zero', 'two']);
  });
});
