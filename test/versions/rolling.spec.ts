import type { Type } from '@nestjs/common';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { currentStep, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { RunStore } from '../../lib/ports/index.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { boot, type BootOptions, type Instance } from '../races/support.js';
import { Balancer, joining } from './balancer.js';

const KEY = 'a-signing-key-for-tests-of-32-or-more-characters';

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

describe('a fleet of several versions behind one URL', () => {
  let database: TestDatabase;
  let balancer: Balancer;
  const instances: Instance[] = [];

  afterEach(async () => {
    await Promise.all(instances.splice(0).map(({ app }) => app.close()));
    await balancer.close();
    await database.dispose();
    executed.length = 0;
  });

  async function deploy(
    providers: BootOptions['providers'],
    more: Partial<BootOptions> = {},
  ): Promise<Instance> {
    const instance = await boot(database, {
      http: { url: balancer.url, signingKey: KEY },
      // a machine with other work on it is no reason to be presumed dead
      worker: { heartbeat: '1s', leaseTimeout: '20s', pollInterval: '100ms' },
      ...more,
      providers: [...providers, joining(balancer)],
    });
    instances.push(instance);
    return instance;
  }

  /** Delays with which leases were given back. */
  function givenBack(): number[] {
    const delays: number[] = [];
    for (const { app } of instances) {
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
  ] as const)('executes each run in its version, balanced by $by', async ({ by, versions, count }) => {
    database = await createPostgres();
    balancer = await Balancer.start(by);
    for (const version of versions) await deploy([orderOf(version)]);
    const delays = givenBack();
    const runs = await Promise.all(
      Array.from({ length: count }, (_, n) =>
        instances[n % versions.length]!.get(WorkflowClient).trigger('order', n, { runId: `r${n}` }),
      ),
    );
    const results = await Promise.all(runs.map((run) => run.result({ timeout: '150s' })));
    expect(results).toEqual(runs.map((_, n) => Array(4).fill(versions[n % versions.length])));
    expect(new Set(executed).size).toBe(executed.length);
    expect(executed).toHaveLength(4 * count);
    // a delivery that went astray was an attempt of nothing, and made nobody wait
    expect(delays.filter((delay) => delay > 0)).toEqual([]);
    if (by === 'requests') expect(balancer.answers.get(421)).toBeGreaterThan(0);
    const steps = await instances[0]!.rows<{ attempts: number }>(
      "select distinct attempts from workflow_step where kind = 'step'",
    );
    expect(steps).toEqual([{ attempts: 1 }]);
  }, 180_000);
});
