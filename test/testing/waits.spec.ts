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

/** Each step fails three times. */
@Injectable()
class Flaky {
  readonly attempts: Record<string, number[]> = {};
  clock: () => Date = () => new Date(0);

  private fails(name: string): string {
    const attempts = (this.attempts[name] ??= []);
    if (attempts.push(this.clock().getTime()) <= 3) throw new Error(`${name} ${attempts.length}`);
    return name;
  }

  @Step({ retryDelay: '10s' }) async constant(): Promise<string> {
    return this.fails('constant');
  }
  @Step({ retryDelay: 'pow(2, retried) * 1000' }) async expression(): Promise<string> {
    return this.fails('expression');
  }
  @Step({ retryDelay: (retried, error) => (error.message.endsWith('2') ? '1h' : 5000 * retried) })
  async chosen(): Promise<string> {
    return this.fails('chosen');
  }
  @Step({
    retryDelay: () => {
      throw new TypeError('no idea');
    },
  })
  async thrown(): Promise<string> {
    return this.fails('thrown');
  }
  @Step() async inherited(): Promise<string> {
    return this.fails('inherited');
  }
}

@Workflow({ name: 'delays', stepDefaults: { retryDelay: '1m' } })
class Delays {
  constructor(private readonly flaky: Flaky) {}

  async run(ctx: WorkflowContext<{ beside: boolean }>): Promise<string[]> {
    const { flaky } = this;
    const steps = [
      () => flaky.constant(),
      () => flaky.expression(),
      () => flaky.chosen(),
      () => flaky.thrown(),
      () => flaky.inherited(),
    ];
    if (ctx.payload.beside) return Promise.all(steps.map((step) => step()));
    const done: string[] = [];
    for (const step of steps) done.push(await step());
    return done;
  }
}

/** Fails twice itself. */
@Workflow({ name: 'delayed', retryDelay: '(retried + 1) * 60000' })
class Delayed {
  readonly attempts: number[] = [];
  clock: () => Date = () => new Date(0);
  async run(ctx: WorkflowContext): Promise<number> {
    this.attempts.push(this.clock().getTime());
    if (ctx.attempt < 3) throw new Error('not yet');
    return ctx.attempt;
  }
}

describe('retryDelay', () => {
  const pauses = (times: readonly number[]): number[] =>
    times.slice(1).map((at, i) => (at - times[i]!) / 1000);

  it.each([false, true])(
    'says when the next attempt is, with the steps beside each other: %s',
    async (beside) => {
      const { module, bench, client } = await boot([Delays, Flaky]);
      const flaky = module.get(Flaky);
      flaky.clock = () => bench.now();
      const run = await client.trigger(Delays, { beside });
      await bench.advance('3h');
      expect(await run.result()).toEqual(['constant', 'expression', 'chosen', 'thrown', 'inherited']);
      const { thrown, ...rest } = flaky.attempts;
      const paused = Object.entries(rest).map(([name, times]) => [name, pauses(times)]);
      expect(Object.fromEntries(paused)).toEqual({
        constant: [10, 10, 10],
        expression: [1, 2, 4],
        chosen: [0, 3600, 10],
        inherited: [60, 60, 60],
      });
      // a function that throws loses nothing: the backoff counts, of 1, 2 and 4 s with jitter
      for (const [i, pause] of pauses(thrown!).entries()) {
        expect(pause).toBeGreaterThanOrEqual(2 ** i / 2);
        expect(pause).toBeLessThanOrEqual(2 ** i);
      }
    },
  );

  it('of @Workflow is for the errors of run itself', async () => {
    const { module, bench, client } = await boot([Delayed]);
    const delayed = module.get(Delayed);
    delayed.clock = () => bench.now();
    const run = await client.trigger(Delayed);
    await bench.advance('1h');
    expect(await run.result()).toBe(3);
    // the bench replays each activation a second time, at the same moment
    expect(pauses([...new Set(delayed.attempts)])).toEqual([60, 120]);
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
