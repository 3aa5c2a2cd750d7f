import type { Provider } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  Workflow,
  WorkflowClient,
  WorkflowContext,
  defineEvent,
  type WorkflowHandler,
} from 'nestjs-workflow';
import { Takeovers } from '../../lib/runtime/takeovers.js';
import { boot, Gates, until, type BootOptions, type Instance } from '../races/support.js';
import { createFolder, DATABASES, type TestDatabase } from '../support/databases.js';

const Go = defineEvent<string>('go');

/** A workflow in this version, which tells in its result which code has done what. */
function order(version: string | undefined, more: { takesOver?: (string | null)[] } = {}) {
  @Workflow({ name: 'order', ...(version !== undefined && { version }), ...more, retries: 0 })
  class Order implements WorkflowHandler<void, string[]> {
    async run(ctx: WorkflowContext<void>): Promise<string[]> {
      const said = `v${version ?? '-'}`;
      const before = await ctx.run('before', () => said);
      await ctx.waitForEvent('wait', Go(ctx.runId));
      const [a, b] = await Promise.all([ctx.run('a', () => said), ctx.run('b', () => said)]);
      return [before, a, b];
    }
  }
  return Order;
}

/** What one application leaves, the next one finds. */
const LASTING = DATABASES.map((one) => (one.name === 'pglite' ? { ...one, create: createFolder } : one));

describe.each(LASTING)('versions on $name', ({ name, create }) => {
  let database: TestDatabase;
  const instances: Instance[] = [];
  beforeEach(async () => {
    database = await create();
  });
  afterEach(async () => {
    for (const one of instances.splice(0)) await one.app.close();
    await database.dispose();
  });
  const start = (...providers: ReturnType<typeof order>[]): Promise<Instance> => begin(providers);
  const begin = async (providers: Provider[], worker?: BootOptions['worker']): Promise<Instance> => {
    const instance = await boot(database, { providers, transport: 'in-process', ...(worker && { worker }) });
    instances.push(instance);
    return instance;
  };
  const client = (instance: Instance): WorkflowClient => instance.get(WorkflowClient);
  const waits = (instance: Instance, runId: string): Promise<void> =>
    until(async () => (await client(instance).journal(runId)).some(({ key }) => key === 'wait'), 'the wait');
  const go = (instance: Instance, runId: string) => client(instance).notify(Go(runId), 'now', { runId });
  const result = (instance: Instance, runId: string): Promise<unknown> =>
    client(instance).run('order', runId).result({ timeout: '20s' });

  it('stand side by side; each run stays on its own, also when another process serves a newer one', async () => {
    const [One, Two, None] = [order('1'), order('2'), order(undefined)];
    const app = await start(One, Two, None);
    await client(app).trigger(One, undefined, { runId: 'one' });
    await client(app).trigger(Two, undefined, { runId: 'two' });
    await client(app).trigger(None, undefined, { runId: 'none' });
    await client(app).trigger('order', undefined, { runId: 'newest' });
    for (const runId of ['one', 'two', 'none', 'newest']) {
      await waits(app, runId);
      await go(app, runId);
    }
    expect(await result(app, 'one')).toEqual(['v1', 'v1', 'v1']);
    expect(await result(app, 'two')).toEqual(['v2', 'v2', 'v2']);
    expect(await result(app, 'none')).toEqual(['v-', 'v-', 'v-']);
    expect(await result(app, 'newest')).toEqual(['v2', 'v2', 'v2']);
    expect(await client(app).get('two')).toMatchObject({ workflow: 'order', version: '2' });
    expect(await client(app).get('none')).not.toHaveProperty('version');
    expect((await client(app).list({ workflow: 'order' })).runs).toHaveLength(4);
  });

  it('hold the runs of one that nobody serves as stuck, until it is there again', async () => {
    const first = await start(order('1'));
    await client(first).trigger('order', undefined, { runId: 'r' });
    await waits(first, 'r');
    await instances.pop()!.app.close();

    const second = await start(order('2'));
    await go(second, 'r');
    expect(await second.get(Takeovers).look()).toBe(0);
    expect(await client(second).get('r')).toMatchObject({
      status: 'waiting',
      stuck: 'No process serves workflow "order" in version "1"',
    });
    const { runs } = await client(second).list({ stuck: true });
    expect(runs.map(({ runId }) => runId)).toEqual(['r']);
    await instances.pop()!.app.close();

    const third = await start(order('1'), order('2'));
    expect(await result(third, 'r')).toEqual(['v1', 'v1', 'v1']);
    expect((await client(third).list({ stuck: true })).runs).toEqual([]);
  });

  // a folder serves one process
  it.skipIf(name === 'pglite')(
    'take over the runs of those that nobody serves, where they say so, and of these alone',
    async () => {
      const [One, None, Other] = [order('1'), order(undefined), order('1.5')];
      const first = await start(One, None, Other);
      await client(first).trigger(One, undefined, { runId: 'one' });
      await client(first).trigger(None, undefined, { runId: 'none' });
      await client(first).trigger(Other, undefined, { runId: 'other' });
      for (const runId of ['one', 'none', 'other']) await waits(first, runId);

      // while version 1 is served its runs stay
      // its own rounds come too late to take anything over, and nobody is presumed dead
      const patient = { heartbeat: '1s', leaseTimeout: '60s', pollInterval: '100ms' } as const;
      const second = await begin([order('2', { takesOver: ['1', null] })], patient);
      expect(await second.get(Takeovers).look()).toBe(0);
      await instances.shift()!.app.close();

      expect(await second.get(Takeovers).look()).toBe(2);
      for (const runId of ['one', 'none', 'other']) await go(second, runId);
      expect(await result(second, 'one')).toEqual(['v1', 'v2', 'v2']);
      expect(await result(second, 'none')).toEqual(['v-', 'v2', 'v2']);
      expect(await client(second).get('one')).toMatchObject({ version: '2', status: 'completed' });
      expect(await client(second).get('other')).toMatchObject({
        version: '1.5',
        stuck: expect.stringContaining('No process'),
      });
    },
  );

  it('take over by themselves, in the rounds of the heartbeat', async () => {
    const first = await start(order('1'));
    await client(first).trigger('order', undefined, { runId: 'r' });
    await waits(first, 'r');
    await instances.pop()!.app.close();
    const second = await start(order('2', { takesOver: ['1'] }));
    await go(second, 'r');
    expect(await result(second, 'r')).toEqual(['v1', 'v2', 'v2']);
  });

  it('may be changed by hand, for a run that waits as for one that executes', async () => {
    const first = await start(order('1'), order('2'));
    expect(await client(first).resume('nobody')).toEqual({ resumed: [] });
    const one = await client(first).trigger('order', undefined, { runId: 'r' });
    await waits(first, 'r');
    expect((await one.get()).version).toBe('2');
    expect(await client(first).resume('r', { version: '1' })).toEqual({ resumed: ['r'] });
    await go(first, 'r');
    expect(await result(first, 'r')).toEqual(['v2', 'v1', 'v1']);
    expect(await client(first).resume('r', { version: '2' })).toEqual({ resumed: [] });
  });

  it('that are not known are refused, and nothing is changed', async () => {
    const app = await start(order('1'));
    await client(app).trigger('order', undefined, { runId: 'r' });
    await waits(app, 'r');
    await expect(client(app).resume('r', { version: '3' })).rejects.toMatchObject({
      code: 'WF_UNKNOWN_WORKFLOW',
      message: expect.stringContaining(
        'Run r cannot go on as "order" in version "3", which is not known here',
      ),
    });
    await expect(client(app).resume(['r', 'nobody'], { version: '1' })).rejects.toMatchObject({
      code: 'WF_RUN_NOT_FOUND',
    });
    await expect(client(app).resume('r', { version: '' })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
    });
    await expect(client(app).resume('')).rejects.toMatchObject({ code: 'WF_INVALID_ARGUMENT' });
    expect(await client(app).get('r')).toMatchObject({ version: '1' });
  });

  it('a run that does not fit its code is stuck, and goes on at once when it is resumed after fitting code came', async () => {
    let asks: 'sleep' | 'step' = 'step';
    let executed = 0;
    @Workflow({ name: 'changing', retries: 0 })
    class Changing implements WorkflowHandler<void, string> {
      async run(ctx: WorkflowContext<void>): Promise<string> {
        if (asks === 'sleep') await ctx.sleep('first', '1ms');
        else await ctx.run('first', () => void executed++);
        await ctx.waitForEvent('wait', Go(ctx.runId));
        return 'done';
      }
    }
    const instance = await boot(database, {
      providers: [Changing],
      transport: 'in-process',
      overrides: { parkLimit: 0 },
    });
    instances.push(instance);
    await client(instance).trigger(Changing, undefined, { runId: 'r' });
    await waits(instance, 'r');
    asks = 'sleep';
    await go(instance, 'r');
    await until(async () => (await client(instance).list({ stuck: true })).runs.length === 1, 'a stuck run');
    expect(await client(instance).get('r')).toMatchObject({
      status: 'waiting',
      stuck: expect.stringContaining(
        'Step "first" of run r is recorded as a step, but the code now runs it as a sleep',
      ),
    });
    asks = 'step';
    expect(await client(instance).resume(['r'])).toEqual({ resumed: ['r'] });
    expect(await client(instance).run(Changing, 'r').result({ timeout: '20s' })).toBe('done');
    expect(executed).toBe(1);
    expect((await client(instance).list({ stuck: true })).runs).toEqual([]);
  });

  it('a step that the code does not ask for any more is held as stuck, and executed once it does', async () => {
    let asks = true;
    let executed = 0;
    @Workflow({ name: 'changing', retries: 0 })
    class Changing implements WorkflowHandler<void, string> {
      async run(ctx: WorkflowContext<void>): Promise<string> {
        const wait = ctx.waitForEvent('wait', Go(ctx.runId));
        if (asks) await Promise.all([wait, ctx.run('late', () => void executed++)]);
        else await wait;
        return 'done';
      }
    }
    const probe = new Gates();
    const delivered = probe.hold('delivery-received', ({ step }) => step === 'late');
    const instance = await boot(database, {
      providers: [Changing],
      transport: 'in-process',
      overrides: { parkLimit: 0 },
      probe,
    });
    instances.push(instance);
    await client(instance).trigger(Changing, undefined, { runId: 'r' });
    await delivered.reached;
    asks = false;
    delivered.open();
    await until(async () => (await client(instance).list({ stuck: true })).runs.length === 1, 'a stuck run');
    expect(await client(instance).get('r')).toMatchObject({
      stuck: expect.stringContaining('Step "late" of run r is recorded, but the code does not ask for it'),
    });
    asks = true;
    expect(await client(instance).resume('r')).toEqual({ resumed: ['r'] });
    await until(() => executed === 1, 'the step');
    await go(instance, 'r');
    expect(await client(instance).run(Changing, 'r').result({ timeout: '20s' })).toBe('done');
    expect(executed).toBe(1);
  });
});
