import type { Type } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  currentStep,
  VerifyWebhook,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  type WorkflowOptions,
} from 'nestjs-workflow';
import { Takeovers } from '../../lib/runtime/takeovers.js';
import { until, type Instance } from '../races/support.js';
import { bundle, Child } from '../support/child.js';
import { send } from '../http/webhook-support.js';
import { Fleet } from './fleet.js';

/** What was executed, as `run/step by version`. */
const executed: string[] = [];
const did = (version: string): string => {
  const { runId, step } = currentStep();
  executed.push(`${runId}/${step} by ${version}`);
  return version;
};

/** A step, a wait for as long as nobody says go, and a step. */
const longOf = (version: string, options: Partial<WorkflowOptions> = {}): Type<any> => {
  @Workflow({ name: 'long', version, ...options })
  class Long {
    async run(ctx: WorkflowContext<unknown>): Promise<string[]> {
      const first = await ctx.run('first', () => did(version));
      await ctx.waitForEvent('go', `go ${ctx.runId}`);
      const both = await Promise.all([
        ctx.run('left', () => did(version)),
        ctx.run('right', () => did(version)),
      ]);
      return [first, ...both];
    }
  }
  return Long;
};

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}`);

const trigger = (at: Instance, runIds: readonly string[]): Promise<unknown> =>
  at.get(WorkflowClient).triggerMany(
    'long',
    runIds.map((runId) => ({ runId, payload: {} })),
  );
const go = (at: Instance, runIds: readonly string[]): Promise<unknown> =>
  Promise.all(runIds.map((runId) => at.get(WorkflowClient).notify(`go ${runId}`, {}, { runId })));
const results = (at: Instance, runIds: readonly string[]): Promise<string[][]> =>
  Promise.all(
    runIds.map(
      (runId) => at.get(WorkflowClient).run('long', runId).result({ timeout: '80s' }) as Promise<string[]>,
    ),
  );
const waiting = (at: Instance, runIds: readonly string[]): Promise<void> =>
  until(
    async () => {
      const found = await at.rows<{ n: string }>(
        `select count(*) as n from workflow_run r join workflow_step s on s.execution = r.id
         join workflow_task k on k.execution = r.id and k.lease_owner is null
         where s.kind = 'wait' and s.state = 'pending' and r.run_id in (${runIds.map((id) => `'${id}'`).join()})`,
      );
      return Number(found[0]!.n) === runIds.length;
    },
    'all runs wait',
    60_000,
  );

describe('a deploy, instance by instance', () => {
  let fleet: Fleet;
  beforeEach(async () => {
    fleet = await Fleet.start();
  });
  afterEach(async () => {
    await fleet.stop();
    executed.length = 0;
  });

  /** Two old instances become two new ones while runs are triggered, and go on. */
  async function roll(next: Type<any>): Promise<{ now: Instance; asleep: string[]; moving: string[] }> {
    const old = [await fleet.deploy([longOf('1')]), await fleet.deploy([longOf('1')])];
    const asleep = names('asleep', 20);
    await trigger(old[0]!, asleep);
    await waiting(old[0]!, asleep);
    const moving: string[] = [];
    let rolling = true;
    let round: Promise<unknown> = Promise.resolve();
    const load = (async () => {
      for (let n = 0; rolling; n++) {
        const at = fleet.instances[n % fleet.instances.length]!;
        const runIds = names(`moving${n}-`, 5);
        moving.push(...runIds);
        round = trigger(at, runIds).then(() => go(at, runIds));
        await round;
      }
    })();
    const now = await fleet.deploy([next]);
    await fleet.retire(old[0]!, () => round);
    await fleet.deploy([next]);
    rolling = false;
    await load;
    await fleet.retire(old[1]!);
    return { now, asleep, moving };
  }

  it('brings runs of the old version to their end in the new one that takes them over', async () => {
    const { now, asleep, moving } = await roll(longOf('2', { takesOver: ['1'] }));
    const takeovers = now.get(Takeovers);
    await takeovers.look();
    await go(now, asleep);
    expect(await results(now, asleep)).toEqual(asleep.map(() => ['1', '2', '2']));
    const done = await results(now, moving);
    // begun by one and gone on with by the other, or not: but never back
    for (const runId of moving) {
      const by = executed.filter((one) => one.startsWith(`${runId}/`)).map((one) => one.slice(-1));
      expect(by.toSorted()).toEqual(by);
    }
    expect(done.some((steps) => steps[0] === '2')).toBe(true);
    expect(new Set(executed).size).toBe(executed.length);
    expect((await now.get(WorkflowClient).list({ status: 'failed' })).runs).toEqual([]);
    expect(await now.rows('select from workflow_task')).toEqual([]);
  }, 180_000);

  it('shows them as stuck where none does, until their version is deployed again', async () => {
    const { now, asleep, moving } = await roll(longOf('2'));
    const client = now.get(WorkflowClient);
    expect(await now.get(Takeovers).look()).toBe(0);
    const { runs } = await client.list({ stuck: true, limit: 1000 });
    expect(runs.map(({ runId }) => runId)).toEqual(expect.arrayContaining(asleep));
    expect(runs[0]).toMatchObject({
      version: '1',
      stuck: 'No process serves workflow "long" in version "1"',
    });
    await go(now, asleep);
    expect((await client.resume(asleep)).resumed).toEqual([]);
    expect(executed.filter((one) => one.startsWith('asleep'))).toHaveLength(asleep.length);

    await fleet.deploy([longOf('1')]);
    expect(await results(now, asleep)).toEqual(asleep.map(() => ['1', '1', '1']));
    for (const steps of await results(now, moving)) expect(new Set(steps).size).toBe(1);
    expect((await client.list({ stuck: true })).runs).toEqual([]);
  }, 180_000);

  it('waits for the sweep of the last old process that was killed', async () => {
    const program = await bundle('test/versions/member.ts');
    const worker = { heartbeat: '200ms', leaseTimeout: '4s', pollInterval: '100ms' } as const;
    const member = Child.start(program.file, [fleet.database.url!]);
    try {
      await member.message();
      const now = await fleet.deploy([longOf('2', { takesOver: ['1'] })], { worker });
      const runIds = names('r', 10);
      const triggered = member.message();
      member.process.send(runIds);
      await triggered;
      await waiting(now, runIds);
      await member.kill();
      // it may be alive, for all that anyone knows
      expect(await now.get(Takeovers).look()).toBe(0);
      await until(
        async () => (await now.rows('select from workflow_worker')).length === 1,
        'it is swept',
        30_000,
      );
      await now.get(Takeovers).look();
      await go(now, runIds);
      expect(await results(now, runIds)).toEqual(runIds.map(() => ['1', '2', '2']));
    } finally {
      await member.kill();
      program.remove();
    }
  }, 120_000);

  it('holds the limit of a flow-control key over all versions, and starves none', async () => {
    let running = 0;
    let most = 0;
    const order: string[] = [];
    const limited = (version: string): Type<any> => {
      @Workflow({ name: 'limited', version, flowControl: { key: 'shared', parallelism: 1 } })
      class Limited {
        async run(ctx: WorkflowContext<unknown>): Promise<string> {
          return ctx.run('only', async () => {
            most = Math.max(most, ++running);
            await new Promise((resolve) => setImmediate(resolve));
            running--;
            order.push(version);
            return version;
          });
        }
      }
      return Limited;
    };
    const at = [await fleet.deploy([limited('1')]), await fleet.deploy([limited('2')])];
    const runs = await Promise.all(
      names('r', 40).map((runId, n) => at[n % 2]!.get(WorkflowClient).trigger('limited', {}, { runId })),
    );
    expect(await Promise.all(runs.map((run) => run.result({ timeout: '80s' })))).toEqual(
      runs.map((_, n) => String((n % 2) + 1)),
    );
    expect(most).toBe(1);
    // the line is one: neither version waits until the other has ended
    expect(order.lastIndexOf('1')).toBeGreaterThan(order.indexOf('2'));
    expect(order.lastIndexOf('2')).toBeGreaterThan(order.indexOf('1'));
  }, 120_000);

  it('takes calls of webhooks anywhere, those to be checked only where the version is', async () => {
    const urls = new Map<string, string>();
    @Workflow({ name: 'asks', version: '1' })
    class Asks {
      async run(ctx: WorkflowContext<string>): Promise<unknown> {
        const hook = await ctx.createWebhook(ctx.payload);
        urls.set(ctx.payload, hook.url);
        const call = await ctx.waitForWebhook('call', hook);
        return call.timedOut ? undefined : call.data.body;
      }
      @VerifyWebhook('checked')
      check(): boolean {
        return true;
      }
    }
    const [old, next] = [await fleet.deploy([Asks]), await fleet.deploy([longOf('2')])];
    const runs = new Map<string, { result(): Promise<unknown> }>();
    for (const name of ['open', 'checked']) runs.set(name, await old.get(WorkflowClient).trigger(Asks, name));
    const waits = (): Promise<unknown[]> => old.rows("select from workflow_step where kind = 'wait'");
    await until(async () => (await waits()).length === 2, 'both wait');
    const call = async (at: Instance, name: string): Promise<[number, string | undefined]> => {
      const { status, headers } = await send(`${await at.url}${new URL(urls.get(name)!).pathname}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '"yes"',
      });
      return [status, headers['retry-after'] as string | undefined];
    };
    expect(await call(next, 'checked')).toEqual([503, '5']);
    expect(await call(next, 'open')).toEqual([202, undefined]);
    expect(await call(old, 'checked')).toEqual([202, undefined]);
    for (const run of runs.values()) expect(await run.result()).toBe('yes');
  }, 120_000);
});
