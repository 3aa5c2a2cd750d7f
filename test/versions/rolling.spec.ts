import type { Type } from '@nestjs/common';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { currentStep, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { RunStore } from '../../lib/ports/index.js';
import { until } from '../races/support.js';
import { Fleet } from './fleet.js';

/** What was executed, as `run/step by version`. */
const executed: string[] = [];
const did = (version: string): string => {
  const { runId, step } = currentStep();
  executed.push(`${runId}/${step} by ${version}`);
  return version;
};

/** A step, two side by side, a wait, and a step: all that a delivery may be about. */
const orderOf = (version: string): Type<any> => {
  @Workflow({ name: 'order', version })
  class Order {
    async run(ctx: WorkflowContext<number>): Promise<string[]> {
      const reserved = await ctx.run('reserve', () => did(version));
      const both = await Promise.all([
        ctx.run('charge', () => did(version)),
        ctx.run('pack', () => did(version)),
      ]);
      await ctx.sleep('cooling off', '20ms');
      return [reserved, ...both, await ctx.run('ship', () => did(version))];
    }
  }
  return Order;
};

/** The code of an older release and of a newer one, both without a version: the newer pays once more than it charged, and thanks. */
@Workflow({ name: 'changed' })
class Before {
  async run(ctx: WorkflowContext): Promise<string[]> {
    return [
      await ctx.run('reserve', () => did('old')),
      await ctx.run('charge', () => did('old')),
      await ctx.run('pack', () => did('old')),
      await ctx.run('ship', () => did('old')),
    ];
  }
}

@Workflow({ name: 'changed' })
class After {
  async run(ctx: WorkflowContext): Promise<string[]> {
    const done = [await ctx.run('reserve', () => did('new'))];
    done.push(
      await (ctx.patched('pay') ? ctx.run('pay', () => did('new')) : ctx.run('charge', () => did('new'))),
    );
    done.push(await ctx.run('pack', () => did('new')));
    done.push(await ctx.run('ship', () => did('new')));
    if (ctx.patched('thanks')) done.push(await ctx.run('thank', () => did('new')));
    return done;
  }
}

describe('a fleet of several versions behind one URL', () => {
  let fleet: Fleet;

  afterEach(async () => {
    await fleet.stop();
    executed.length = 0;
  });

  /** Delays with which leases were given back. */
  function givenBack(): number[] {
    const delays: number[] = [];
    for (const { app } of fleet.instances) {
      const store = app.get<RunStore>(RunStore as never, { strict: false });
      const release = store.release.bind(store);
      vi.spyOn(store, 'release').mockImplementation((leases, delayMs, stuck) => {
        delays.push(delayMs);
        return release(leases, delayMs, stuck);
      });
    }
    return delays;
  }

  // by connections, three versions: most tries come back to the same wrong instance, or to another wrong one
  it.each([
    { by: 'requests', versions: ['1', '2'], count: 300 },
    { by: 'connections', versions: ['1', '2', '3'], count: 60 },
  ] as const)(
    'executes each run in its version, balanced by $by',
    async ({ by, versions, count }) => {
      fleet = await Fleet.start(by);
      for (const version of versions) await fleet.deploy([orderOf(version)]);
      const delays = givenBack();
      const runs = await Promise.all(
        Array.from({ length: count }, (_, n) =>
          fleet.instances[n % versions.length]!.get(WorkflowClient).trigger('order', n, { runId: `r${n}` }),
        ),
      );
      const results = await Promise.all(runs.map((run) => run.result({ timeout: '150s' })));
      expect(results).toEqual(runs.map((_, n) => Array(4).fill(versions[n % versions.length])));
      expect(new Set(executed).size).toBe(executed.length);
      expect(executed).toHaveLength(4 * count);
      // a delivery that went astray was an attempt of nothing, and made nobody wait
      expect(delays.filter((delay) => delay > 0)).toEqual([]);
      if (by === 'requests') expect(fleet.balancer.answers.get(421)).toBeGreaterThan(0);
      const steps = await fleet.instances[0]!.rows<{ attempts: number }>(
        "select distinct attempts from workflow_step where kind = 'step'",
      );
      expect(steps).toEqual([{ attempts: 1 }]);
    },
    180_000,
  );

  it('never does in the old way what newer code of the same version has begun in the new way', async () => {
    fleet = await Fleet.start();
    const old = await fleet.deploy([Before]);
    const next = await fleet.deploy([After]);
    const runIds = Array.from({ length: 40 }, (_, n) => `r${n}`);
    for (const [n, runId] of runIds.entries())
      await fleet.instances[n % 2]!.get(WorkflowClient).trigger('changed', {}, { runId });
    const client = next.get(WorkflowClient);
    const state = async (): Promise<{ stuck: string[]; ended: number }> => {
      const { runs } = await client.list({ limit: 1000 });
      return {
        stuck: runs.flatMap((run) => ('stuck' in run && run.stuck !== undefined ? [run.runId] : [])),
        ended: runs.filter(({ status }) => status === 'completed').length,
      };
    };
    await until(
      async () => {
        const { stuck, ended } = await state();
        return stuck.length + ended === runIds.length;
      },
      state,
      60_000,
    );
    const { stuck } = await state();
    expect(stuck.length).toBeGreaterThan(0);
    const why = await client.get(stuck[0]!).then((run) => 'stuck' in run && run.stuck);
    expect(why).toMatch(/has gone the way of newer code \(@patched\/(pay|thanks)\)/);

    await fleet.retire(old);
    // some have been looked at again by themselves meanwhile
    await client.resume(stuck);
    for (const runId of runIds) {
      await client.run('changed', runId).result({ timeout: '60s' });
      const steps = executed.filter((one) => one.startsWith(`${runId}/`)).map((one) => one.split(/[/ ]/)[1]!);
      expect(steps.toSpliced(1, 1).slice(0, 3)).toEqual(['reserve', 'pack', 'ship']);
      expect(['charge', 'pay']).toContain(steps[1]);
      expect(steps.filter((step) => step === 'charge' || step === 'pay')).toHaveLength(1);
      expect(new Set(steps).size).toBe(steps.length);
    }
    for (const runId of stuck)
      expect(executed.filter((one) => one.startsWith(`${runId}/thank `))).toHaveLength(1);
  }, 180_000);
});
