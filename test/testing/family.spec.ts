import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import {
  currentStep,
  FailureContext,
  NonRetryableError,
  OnFailure,
  Workflow,
  WorkflowContext,
} from 'nestjs-workflow';
import { boot } from './support.js';

let undone: string[] = [];

@Workflow({ name: 'bench part', retries: 0 })
class Part {
  async run(ctx: WorkflowContext<number>): Promise<number> {
    ctx.onRollback('part', () => void undone.push(`part ${ctx.payload}`));
    await ctx.sleep('a day', '1d');
    if (ctx.payload === 3) throw new NonRetryableError('three');
    return ctx.payload * 2;
  }
}

@Workflow({ name: 'bench family', retries: 0 })
class Family {
  async run(ctx: WorkflowContext<number[]>): Promise<string> {
    const hook = await ctx.createWebhook('hook');
    ctx.onRollback(
      'parent',
      () => {
        undone.push(`parent ${currentStep().attempt}`);
        if (currentStep().attempt === 1) throw new Error('not yet');
      },
      { backoff: { initial: '1h', jitter: false } },
    );
    const parts = await Promise.all(ctx.payload.map((n) => ctx.invoke('part', Part, n)));
    if (parts.length > 0 && ctx.payload[0] === 9) return ctx.continueAsNew([1]);
    return `${parts.join()} ${hook.id.length > 0}`;
  }

  @OnFailure() async failed(ctx: FailureContext<number[]>): Promise<void> {
    await Promise.all([ctx.run('a', () => undone.push('a')), ctx.invoke('part', Part, 1)]);
  }
}

describe('the bench, which replays each activation a second time', () => {
  it('finds nothing in a family that completes, goes on as new, fails and is undone', async () => {
    undone = [];
    const { bench, client } = await boot([Part, Family]);
    const good = await client.trigger(Family, [1, 2]);
    const again = await client.trigger(Family, [9]);
    await bench.untilIdle();
    await bench.advance('1d');
    expect(await good.result()).toBe('2,4 true');
    await bench.advance('1d');
    expect(await again.result()).toBe('2 true');
    expect(undone).toEqual([]);

    const bad = await client.trigger(Family, [3]);
    await bench.untilIdle();
    await bench.advance('1d');
    expect(undone).toEqual(['part 3', 'parent 1']);
    expect((await bad.get()).status).toBe('waiting');
    await bench.advance('1h');
    expect(undone).toEqual(['part 3', 'parent 1', 'parent 2', 'a']);
    await bench.advance('1d');
    await expect(bad.result()).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
  });

  it('nor in one that is cancelled, while it runs and after it has failed', async () => {
    undone = [];
    const { bench, client } = await boot([Part, Family]);
    const run = await client.trigger(Family, [1]);
    await bench.untilIdle();
    await run.cancel();
    await bench.untilIdle();
    await bench.advance('1h');
    await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
    expect(undone.toSorted()).toEqual(['parent 1', 'parent 2', 'part 1']);

    const failed = await client.trigger(Family, [3]);
    await bench.untilIdle();
    await bench.advance('1d');
    await bench.advance('1h');
    // its @OnFailure method waits for a child
    await failed.cancel();
    await bench.untilIdle();
    await expect(failed.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
    expect((await client.list({ workflow: Part, status: 'waiting' })).runs).toEqual([]);
  });
});
