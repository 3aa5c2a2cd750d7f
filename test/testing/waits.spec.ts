import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  defineEvent,
  FailureContext,
  NonRetryableError,
  OnFailure,
  RunFailedError,
  Step,
  Workflow,
  WorkflowContext,
} from 'nestjs-workflow';
import { boot } from './support.js';

const Paid = defineEvent<{ amount: number }>('paid');

@Injectable()
class Gateway {
  failures = 0;
  readonly attempts: Date[] = [];
  clock: () => Date = () => new Date(0);

  @Step({ retries: 3, backoff: { initial: '1m', factor: 2, jitter: false } })
  async charge(): Promise<string> {
    this.attempts.push(this.clock());
    if (this.attempts.length <= this.failures) throw new Error('the gateway is down');
    return 'charged';
  }

  @Step()
  async twice(n: number): Promise<number> {
    return n * 2;
  }
}

@Workflow({ name: 'charging' })
class Charging {
  readonly apologies: string[] = [];
  constructor(private readonly gateway: Gateway) {}

  async run(): Promise<string> {
    return this.gateway.charge();
  }

  @OnFailure()
  async onFailure(ctx: FailureContext): Promise<void> {
    await ctx.run('apologize', () => this.apologies.push(`sorry: ${ctx.error.message}`));
  }
}

@Workflow({ name: 'order' })
class Order {
  async run(ctx: WorkflowContext<{ id: string }>): Promise<string> {
    const paid = await ctx.waitForEvent('payment', Paid(ctx.payload.id), { timeout: '2d' });
    if (paid.timedOut) throw new NonRetryableError('never paid');
    return `paid ${paid.data.amount}`;
  }
}

@Workflow({ name: 'fan-out' })
class FanOut {
  constructor(private readonly gateway: Gateway) {}

  async run(ctx: WorkflowContext<number[]>): Promise<number[]> {
    const branch = async (n: number): Promise<number> => {
      const twice = await this.gateway.twice(n);
      await ctx.sleep(`rest ${n}`, `${n}h`);
      return this.gateway.twice(twice);
    };
    return Promise.all(ctx.payload.map(branch));
  }
}

const MINUTE_MS = 60_000;

describe('retries', () => {
  it('each backoff is a moment of its own on the way of advance', async () => {
    const { module, bench, client } = await boot([Charging, Gateway]);
    const gateway = module.get(Gateway);
    gateway.failures = 2;
    gateway.clock = () => bench.now();
    const start = bench.now().getTime();
    const run = await client.trigger(Charging);
    await bench.untilIdle();
    expect(gateway.attempts).toHaveLength(1);
    expect((await run.get()).status).toBe('waiting');
    await bench.advance('1h');
    expect(await run.result()).toBe('charged');
    expect(gateway.attempts.map((at) => (at.getTime() - start) / MINUTE_MS)).toEqual([0, 1, 3]);
  });

  it('when they are used up the run fails, and its @OnFailure has run', async () => {
    const { module, bench, client } = await boot([Charging, Gateway]);
    module.get(Gateway).failures = 9;
    const run = await client.trigger(Charging);
    await bench.advance('1h');
    await expect(run.result()).rejects.toThrow(RunFailedError);
    expect(module.get(Gateway).attempts).toHaveLength(4);
    expect(module.get(Charging).apologies).toEqual([expect.stringContaining('the gateway is down')]);
  });
});

describe('an event with a timeout', () => {
  it('comes in time', async () => {
    const { bench, client } = await boot([Order]);
    const run = await client.trigger(Order, { id: '7' });
    await bench.advance('47h');
    expect((await client.getWaiters(Paid('7'))).map(({ runId }) => runId)).toEqual([run.runId]);
    await client.notify(Paid('7'), { amount: 12 });
    await bench.untilIdle();
    expect((await run.get()).status).toBe('completed');
    expect(await run.result()).toBe('paid 12');
  });

  it('does not come', async () => {
    const { bench, client } = await boot([Order]);
    const run = await client.trigger(Order, { id: '7' });
    await bench.advance('47h');
    expect((await run.get()).status).toBe('waiting');
    await bench.advance('1h');
    await expect(run.result()).rejects.toThrow(/never paid/);
  });

  it('a delayed run starts when its time has come, not by the clock on the wall', async () => {
    const { bench, client } = await boot([Order]);
    const run = await client.trigger(Order, { id: '8' }, { delay: '20ms' });
    await bench.untilIdle();
    await new Promise((resolve) => setTimeout(resolve, 60));
    await bench.untilIdle();
    expect((await run.get()).status).toBe('pending');
    await bench.advance('20ms');
    expect((await run.get()).status).toBe('waiting');
  });
});

it('parallel branches wait beside one another', async () => {
  const { bench, client } = await boot([FanOut, Gateway]);
  const start = bench.now().getTime();
  const run = await client.trigger(FanOut, [1, 2, 3]);
  await bench.advance('3h');
  expect(await run.result()).toEqual([4, 8, 12]);
  expect(bench.now().getTime() - start).toBe(180 * MINUTE_MS);
});

it('thirty days change nothing about who is alive', async () => {
  const { module, bench, client } = await boot([Order]);
  const run = await client.trigger(Order, { id: '9' });
  await bench.untilIdle();
  const { Leases } = await import('../../lib/runtime/leases.js');
  const leases = module.get(Leases);
  await bench.advance('1d');
  expect(leases.inDoubt).toBe(false);
  await leases.beat();
  await leases.sweep();
  await bench.advance('30d');
  expect(leases.inDoubt).toBe(false);
  await expect(run.result()).rejects.toThrow(/never paid/);
});
