import { Injectable } from '@nestjs/common';
import { afterEach, describe, expect, it } from 'vitest';
import {
  currentStep,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  type FlowControl,
} from 'nestjs-workflow';
import { boot, Gates, until, type Instance } from '../races/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

/** Steps that stay open until a test lets them go, and how many of a kind are. */
@Injectable()
class Work {
  readonly open = new Map<string, () => void>();
  readonly started: { step: string; at: number }[] = [];
  now = 0;
  most = 0;

  async held(name: string): Promise<string> {
    this.started.push({ step: name, at: performance.now() });
    this.most = Math.max(this.most, ++this.now);
    await new Promise<void>((resolve) => this.open.set(name, resolve));
    this.now--;
    return name;
  }

  @Step({ flowControl: { key: (tenant: string) => `tenant-${tenant}`, parallelism: 2 } })
  async limited(tenant: string, n: number): Promise<string> {
    return this.held(`${tenant}${n}`);
  }

  @Step({ flowControl: { key: 'flaky', parallelism: 1 }, retries: 2, backoff: { initial: '1ms' } })
  async flaky(run: string): Promise<string> {
    this.started.push({ step: `${run}/${currentStep().attempt}`, at: performance.now() });
    if (currentStep().attempt < 3) throw new Error('not yet');
    return run;
  }

  @Step() async quick(n: number): Promise<number> {
    this.started.push({ step: `quick${n}`, at: performance.now() });
    return n;
  }

  end(name: string): void {
    this.open.get(name)!();
    this.open.delete(name);
  }

  async endAll(): Promise<void> {
    for (const name of [...this.open.keys()]) this.end(name);
  }
}

@Workflow({ name: 'one' })
class One {
  constructor(private readonly work: Work) {}
  async run(ctx: WorkflowContext<string>): Promise<string> {
    return ctx.run('work', () => this.work.held(ctx.payload));
  }
}

@Workflow({ name: 'fan' })
class Fan {
  constructor(private readonly work: Work) {}
  async run(_ctx: WorkflowContext<void>): Promise<string[]> {
    return Promise.all(['a', 'a', 'a', 'b'].map((tenant, n) => this.work.limited(tenant, n)));
  }
}

@Workflow({ name: 'alone' })
class Alone {
  constructor(private readonly work: Work) {}
  async run(_ctx: WorkflowContext<void>): Promise<string> {
    return this.work.limited('solo', 0);
  }
}

@Workflow({ name: 'retried' })
class Retried {
  constructor(private readonly work: Work) {}
  async run(ctx: WorkflowContext<string>): Promise<string> {
    return this.work.flaky(ctx.payload);
  }
}

@Workflow({ name: 'paced', flowControl: { key: ({ who }) => `paced-${who}`, rate: 2, period: '400ms' } })
class Paced {
  constructor(private readonly work: Work) {}
  async run(ctx: WorkflowContext<{ who: string }>): Promise<number> {
    let n = 0;
    while (n < 5) n = (await this.work.quick(n)) + 1;
    await ctx.sleep('nap', '1ms');
    return n;
  }
}

@Workflow({ name: 'sleeper' })
class Sleeper {
  async run(ctx: WorkflowContext<void>): Promise<string> {
    await ctx.waitForEvent('wait', `wake-${ctx.runId}`);
    return ctx.runId;
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(ctx: WorkflowContext<void>): Promise<string[]> {
    const flowControl: FlowControl = { key: 'children', parallelism: 1 };
    return Promise.all(['x', 'y'].map((name) => ctx.invoke(name, One, name, { flowControl, priority: 1 })));
  }
}

@Workflow({ name: 'wrong', retries: 0 })
class Wrong {
  async run(ctx: WorkflowContext<void>): Promise<void> {
    await ctx.run('work', () => 1, { flowControl: { key: '', parallelism: 1 } });
  }
}

const providers = [Work, One, Fan, Alone, Retried, Paced, Sleeper, Parent, Wrong];

describe.each(DATABASES)('flow control on $name', ({ create }) => {
  let database: TestDatabase;
  const instances: Instance[] = [];
  afterEach(async () => {
    for (const { app } of instances) await app.get(Work).endAll();
    for (const { app } of instances.splice(0)) await app.close();
    await database.dispose();
  });

  async function start(
    transport: 'http' | 'in-process',
  ): Promise<{ client: WorkflowClient; work: Work; one: Instance }> {
    database = await create();
    const one = await boot(database, { providers, transport, probe: new Gates() });
    instances.push(one);
    return { client: one.get(WorkflowClient), work: one.get(Work), one };
  }

  it.each(['http', 'in-process'] as const)(
    'runs of a key are executed so many at a time (%s)',
    async (transport) => {
      const { client, work } = await start(transport);
      const flowControl: FlowControl = { key: 'k', parallelism: 2 };
      const runs = await client.triggerMany(
        One,
        Array.from({ length: 6 }, (_, i) => ({ payload: `r${i}`, flowControl })),
      );
      for (let done = 0; done < 6; done++) {
        await until(() => work.open.size === Math.min(2, 6 - done), `two are executed after ${done}`);
        const wanted = { running: Math.min(2, 6 - done), waiting: Math.max(0, 4 - done) };
        const shows = async () => (await client.flowControl.info('k'))!;
        // the end of the one before is on its way
        await until(async () => (await shows()).running === wanted.running, shows);
        expect(await shows()).toEqual({ key: 'k', parallelism: 2, paused: false, started: 0, ...wanted });
        work.end([...work.open.keys()][0]!);
      }
      await Promise.all(runs.map((run) => run.result()));
      expect(work.most).toBe(2);
    },
  );

  it('a step with a key of its own waits for a slot of that key, also where it is alone', async () => {
    const { client, work } = await start('in-process');
    const fan = await client.trigger(Fan, undefined);
    await until(() => work.open.size === 3, 'two of tenant a, one of b');
    expect([...work.open.keys()].filter((name) => name.startsWith('a'))).toHaveLength(2);
    await work.endAll();
    await until(() => work.open.size === 1);
    await work.endAll();
    expect(await fan.result()).toEqual(['a0', 'a1', 'a2', 'b3']);
    await client.flowControl.pause('tenant-solo');
    const alone = await client.trigger(Alone, undefined);
    await until(async () => (await client.flowControl.info('tenant-solo'))?.waiting === 1);
    expect(work.open.size).toBe(0);
    await client.flowControl.resume('tenant-solo');
    await until(() => work.open.size === 1);
    await work.endAll();
    expect(await alone.result()).toBe('solo0');
  });

  it('retries of such a step go back into the line', async () => {
    const { client, work } = await start('in-process');
    const runs = await client.triggerMany(Retried, [{ payload: 'p' }, { payload: 'q' }]);
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual(['p', 'q']);
    expect(work.started.map(({ step }) => step).toSorted()).toEqual([
      'p/1',
      'p/2',
      'p/3',
      'q/1',
      'q/2',
      'q/3',
    ]);
  });

  it.each(['http', 'in-process'] as const)(
    'with a rate every step of a run is a start (%s)',
    async (transport) => {
      const { client, work } = await start(transport);
      const [run, other] = [
        await client.trigger(Paced, { who: 'x' }),
        await client.trigger(Paced, { who: 'y' }, { flowControl: { key: 'free', rate: 1000 } }),
      ];
      expect(await Promise.all([run.result(), other.result()])).toEqual([5, 5]);
      const started = work.started.map(({ at }) => at);
      // 5 steps and the end after the nap: at least 3 windows for two starts each
      expect(started).toHaveLength(10);
      expect(started.at(-1)! - started[0]!).toBeGreaterThan(400);
    },
  );

  it('a run that waits holds no slot', async () => {
    const { client, work } = await start('in-process');
    const flowControl: FlowControl = { key: 'k', parallelism: 1 };
    const sleepers = await client.triggerMany(
      Sleeper,
      ['s1', 's2'].map((runId) => ({ payload: undefined, runId, flowControl })),
    );
    await until(async () => (await client.getWaiters('wake-s2')).length === 1);
    const busy = await client.trigger(One, 'busy', { flowControl });
    await until(() => work.open.size === 1);
    await client.notify('wake-s1', null);
    await until(async () => (await client.flowControl.info('k'))?.waiting === 1);
    expect((await sleepers[0]!.get()).status).toBe('waiting');
    work.end('busy');
    await Promise.all([busy.result(), sleepers[0]!.result()]);
    await client.notify('wake-s2', null);
    expect(await sleepers[1]!.result()).toBe('s2');
  });

  it('children that are invoked have a key and a priority of their own', async () => {
    const { client, work } = await start('in-process');
    const parent = await client.trigger(Parent, undefined);
    for (let i = 0; i < 2; i++) {
      await until(() => work.open.size === 1);
      await work.endAll();
    }
    expect(await parent.result()).toEqual(['x', 'y']);
    expect(work.most).toBe(1);
  });

  it('a due run with a smaller priority goes before a thousand others', async () => {
    database = await create();
    const one = await boot(database, {
      providers,
      transport: 'in-process',
      worker: { concurrency: 1, pollInterval: '100ms' },
    });
    instances.push(one);
    const [client, work] = [one.get(WorkflowClient), one.get(Work)];
    const low = await client.triggerMany(
      One,
      Array.from({ length: 1000 }, (_, i) => ({ payload: `low${i}`, priority: 5 })),
    );
    await until(() => work.open.size === 1);
    await client.trigger(One, 'high', { priority: -1 });
    await client.trigger(One, 'usual');
    await work.endAll();
    await until(() => work.open.size === 1);
    expect([...work.open.keys()]).toEqual(['high']);
    await work.endAll();
    await until(() => work.open.size === 1);
    expect([...work.open.keys()]).toEqual(['usual']);
    await client.cancel(low.map(({ runId }) => runId));
  });

  it('bad flow control is refused, and nothing is written', async () => {
    const { client } = await start('in-process');
    const refused: unknown[] = [
      { key: 'k' },
      { key: '', rate: 1 },
      { key: 'k', rate: 0 },
      { key: 'k', parallelism: 1, period: '1s' },
    ];
    for (const flowControl of refused) {
      await expect(
        client.trigger(One, 'x', { flowControl: flowControl as FlowControl }),
      ).rejects.toMatchObject({
        code: 'WF_INVALID_FLOW_CONTROL',
      });
    }
    await expect(client.trigger(One, 'x', { priority: 11 })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
    });
    await expect(client.flowControl.pause('')).rejects.toMatchObject({ code: 'WF_INVALID_FLOW_CONTROL' });
    await expect(client.flowControl.list({ limit: 0 })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
    });
    expect((await client.list()).runs).toEqual([]);
    expect(await client.flowControl.list()).toEqual([]);
    const wrong = await client.trigger(Wrong, undefined);
    await expect(wrong.result()).rejects.toMatchObject({ failure: { code: 'WF_INVALID_FLOW_CONTROL' } });
  });
});
