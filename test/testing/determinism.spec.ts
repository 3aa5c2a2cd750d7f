import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import {
  defineEvent,
  NonDeterminismError,
  NonRetryableError,
  Workflow,
  WorkflowContext,
  WorkflowError,
} from 'nestjs-workflow';
import { boot } from './support.js';

const Any = defineEvent<string>('any');

/** What a test calls "chance": another value at each call. */
let calls = 0;
const chance = (): boolean => calls++ % 2 === 1;

async function problemOf(body: (ctx: WorkflowContext) => Promise<unknown>): Promise<unknown> {
  calls = 0;
  @Workflow({ name: 'checked' })
  class Checked {
    run(ctx: WorkflowContext): Promise<unknown> {
      return body(ctx);
    }
  }
  const { bench, client } = await boot([Checked]);
  await client.trigger('checked', undefined);
  const problem = await bench.untilIdle().then(
    () => undefined,
    (error: unknown) => error,
  );
  return problem;
}

describe('a run that decides by chance is shown on its first execution', () => {
  it('between two steps', async () => {
    const problem = await problemOf(async (ctx) =>
      chance() ? ctx.run('by air', () => 1) : ctx.run('by sea', () => 2),
    );
    expect(WorkflowError.is(problem, 'WF_NON_DETERMINISM')).toBe(true);
    expect(String(problem)).toMatch(/at first it asked for "by sea", and replayed for "by air"/);
  });

  it('between two waits, side by side with a step', async () => {
    const problem = await problemOf(async (ctx) =>
      Promise.all([ctx.run('same', () => 1), chance() ? ctx.sleep('short', '1h') : ctx.sleep('long', '2h')]),
    );
    expect(String(problem)).toMatch(/"long".*"short".*WF_NON_DETERMINISM/s);
  });

  it('whether to wait at all', async () => {
    const problem = await problemOf(async (ctx) => chance() && (await ctx.waitForEvent('answer', Any('1'))));
    expect(String(problem)).toMatch(/asked for nothing more \(it returned\), and replayed for "answer"/);
  });

  it('whether to fail', async () => {
    const problem = await problemOf(async (ctx) => {
      await ctx.run('one', () => 1);
      if (chance()) throw new Error('bad luck');
    });
    expect(String(problem)).toMatch(/at first it returned, and replayed it threw/);
  });

  it('between two kinds of one name: both are named', async () => {
    const problem = await problemOf(async (ctx) => {
      await (chance() ? ctx.run('step', () => 1) : ctx.sleep('step', '1ms'));
    });
    expect(problem).toBeInstanceOf(NonDeterminismError);
    expect(problem).toMatchObject({ step: 'step', recorded: 'sleep', asked: 'step' });
  });
});

it('a finished sleep is not the result of a step of the same name: the run is stuck, and says why', async () => {
  let changed = false;
  @Workflow({ name: 'changed' })
  class Changed {
    async run(ctx: WorkflowContext): Promise<unknown> {
      const first = changed ? await ctx.run('first', () => 'a value') : await ctx.sleep('first', '1h');
      await ctx.sleep('second', '1h');
      return first;
    }
  }
  const { bench, client } = await boot([Changed]);
  const run = await client.trigger(Changed, undefined);
  await bench.advance('1h');
  changed = true;
  const problem = await bench.advance('1h').catch((error: unknown) => error);
  expect(problem).toBeInstanceOf(NonDeterminismError);
  expect(problem).toMatchObject({ step: 'first', recorded: 'sleep', asked: 'step' });
  expect(await run.get()).toMatchObject({
    status: 'waiting',
    stuck: expect.stringContaining('WF_NON_DETERMINISM'),
  });
  changed = false;
  await bench.advance('1m');
  expect((await run.get()).status).toBe('completed');
});

describe('no false alarm', () => {
  it.each<[string, (ctx: WorkflowContext) => Promise<unknown>]>([
    ['ctx.random decides', (ctx) => (ctx.random() < 0.5 ? ctx.run('a', () => 1) : ctx.run('b', () => 2))],
    [
      'a race is lost',
      (ctx) => Promise.race([ctx.run('quick', () => 1), ctx.sleep('slow', '1h'), ctx.sleep('slower', '2h')]),
    ],
    [
      'a step fails and is caught',
      async (ctx) => {
        await ctx.run('fails', () => Promise.reject(new NonRetryableError('no'))).catch(() => {});
        return ctx.run('after', () => 1);
      },
    ],
    [
      'run awaits I/O of its own',
      async (ctx) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        return ctx.run('after', () => 1);
      },
    ],
    [
      'branches of several steps',
      (ctx) =>
        Promise.all(
          ['a', 'b', 'c'].map(async (name) => {
            await ctx.run(`${name}1`, () => 1);
            return ctx.run(`${name}2`, () => 2);
          }),
        ),
    ],
  ])('%s', async (_, body) => {
    expect(await problemOf(body)).toBeUndefined();
  });
});
