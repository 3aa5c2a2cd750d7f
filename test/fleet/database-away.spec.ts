import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkflowClient } from 'nestjs-workflow';
import { openWorkflowDataSource } from '../../lib/typeorm/data-source.js';
import { boot, until, type Instance } from '../races/support.js';
import type { TestDatabase } from '../support/databases.js';
import { startCluster, type Cluster } from '../support/postgres-cluster.js';
import { silentLogger } from '../support/silent-logger.js';
import { counts, installAudit, losses, tooLate } from './audit.js';
import { Fleet } from './support.js';
import { Blocks, Mixed, WORKFLOWS } from './workflows.js';

vi.setConfig({ testTimeout: 180_000 });

const LEASE_TIMEOUT_MS = 3000;
const WORKER = {
  heartbeat: '300ms',
  leaseTimeout: `${LEASE_TIMEOUT_MS}ms`,
  pollInterval: '100ms',
  concurrency: 20,
} as const;
const RUNS = 60;

let cluster: Cluster;
let fleet: Fleet;
let client: Instance;
let remove: () => void;
beforeAll(async () => {
  remove = await Fleet.prepare();
});
afterAll(() => remove?.());
beforeEach(async () => {
  cluster = await startCluster();
  const { url } = cluster;
  await (await openWorkflowDataSource({ database: { url }, logger: silentLogger })).destroy();
  fleet = new Fleet(url);
  await installAudit(fleet);
  client = await boot({ options: { url } } as TestDatabase, {
    transport: 'in-process',
    worker: false,
    overrides: { heartbeatMs: 300, leaseTimeoutMs: LEASE_TIMEOUT_MS },
    providers: WORKFLOWS,
  });
});
afterEach(async () => {
  await fleet.end();
  await client.app.close();
  await cluster.dispose();
});

const completed = async (): Promise<number> =>
  (await fleet.rows(`select 1 from workflow_run where status = 'completed'`)).length;

describe('a database that is away for longer than the lease timeout', () => {
  it.each(['fast', 'immediate'] as const)(
    'nothing is lost or doubled, nobody dies or is presumed dead (%s)',
    async (mode) => {
      const members = await Promise.all(
        Array.from({ length: 3 }, () => fleet.start({ transport: 'http', worker: WORKER })),
      );
      const items = Array.from({ length: RUNS }, () => ({ payload: { ms: 30 } }));
      await client.get(WorkflowClient).triggerMany(Mixed, items);
      await until(() => fleet.executions.length > RUNS, 'the load');
      await cluster.stop(mode);
      const before = fleet.executions.length;
      await pause(2 * LEASE_TIMEOUT_MS);
      await cluster.start();
      await until(async () => (await completed()) === RUNS, completed, 60_000);

      // it was in the middle of it
      expect(fleet.executions.length).toBeGreaterThan(before);
      expect(await tooLate(fleet)).toEqual([]);
      expect(await losses(fleet)).toEqual([]);
      const { executed, journaled } = await counts(fleet);
      expect([...new Set(executed)]).toEqual(journaled);
      const workers = await fleet.workers();
      expect(workers).toEqual(expect.arrayContaining(members.map(({ worker }) => worker)));
      for (const { child, said } of members) {
        expect(child.process.exitCode ?? child.process.signalCode).toBeNull();
        expect(said.filter((line) => line.includes('presumed dead'))).toEqual([]);
      }
    },
  );

  it('costs a step no lease that blocks the event loop meanwhile', async () => {
    const worker = { ...WORKER, maxBlocked: '1m' } as const;
    const members = await Promise.all(
      Array.from({ length: 2 }, () => fleet.start({ transport: 'in-process', worker })),
    );
    const run = await client.get(WorkflowClient).trigger(Blocks, { ms: 12_000, busy: false });
    await until(() => fleet.executions.length === 1, 'the execution');
    const { pid } = fleet.executions[0]!;
    await cluster.stop('immediate');
    await pause(1.5 * LEASE_TIMEOUT_MS);
    await cluster.start();
    expect((await run.result({ timeout: '60s' }))[0]).toBe(pid);
    expect(fleet.executedBy('Steps.block')).toEqual([pid]);
    expect(await losses(fleet)).toEqual([]);
    for (const { child } of members) expect(child.process.exitCode).toBeNull();
  });
});
