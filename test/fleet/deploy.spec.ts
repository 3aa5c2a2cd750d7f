import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkflowClient } from 'nestjs-workflow';
import { boot, until, type Instance } from '../races/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { counts, installAudit, losses } from './audit.js';
import { Balancer } from './balancer.js';
import { Fleet, type Member } from './support.js';
import { Mixed, WORKFLOWS } from './workflows.js';

vi.setConfig({ testTimeout: 180_000 });

const signingKey = 'a key that all processes know, of forty characters';
/** A run that had to wait for a lease timeout would not end within the test. */
const WORKER = { heartbeat: '200ms', leaseTimeout: '1h', pollInterval: '100ms', concurrency: 20 } as const;
const RUNS = 30;
const STEPS = 7;

let database: TestDatabase;
let fleet: Fleet;
let client: Instance;
let balancer: Balancer;
let remove: () => void;
beforeAll(async () => {
  remove = await Fleet.prepare();
});
afterAll(() => remove?.());
beforeEach(async () => {
  database = await createPostgres();
  fleet = new Fleet(database.url!);
  await installAudit(fleet);
  balancer = await Balancer.start();
  client = await boot(database, {
    transport: 'in-process',
    worker: false,
    overrides: { heartbeatMs: 200, leaseTimeoutMs: 3_600_000 },
    providers: WORKFLOWS,
  });
});
afterEach(async () => {
  await fleet.end();
  await client.app.close();
  await balancer.close();
  await database.dispose();
});

const HOSTS = {
  'in-process': () => ({ transport: 'in-process' as const }),
  'over HTTP, each to its own address': () => ({ transport: 'http' as const }),
  'over HTTP, all behind one URL': () => ({
    transport: 'http' as const,
    http: { url: balancer.url, signingKey },
  }),
};

describe('a deploy under load', () => {
  it.each(Object.keys(HOSTS) as (keyof typeof HOSTS)[])(
    '%s: every step is executed once, and leases are given back at once',
    async (host) => {
      let running: Member[] = [];
      const start = async (): Promise<void> => {
        const member = await fleet.start({ ...HOSTS[host](), worker: WORKER });
        running.push(member);
        balancer.to(
          ...running
            .filter(({ child }) => child.process.exitCode === null && !child.process.killed)
            .map(({ url }) => url),
        );
      };
      await Promise.all([start(), start()]);
      let triggered = 0;
      const load = async (): Promise<void> => {
        const items = Array.from({ length: RUNS }, () => ({ payload: { ms: 40 } }));
        await client.get(WorkflowClient).triggerMany(Mixed, items);
        triggered += RUNS;
      };
      for (let round = 0; round < 3; round++) {
        const before = fleet.executions.length;
        await load();
        await until(() => fleet.executions.length > before + RUNS, 'the load');
        const old = running[0]!;
        const successor = start();
        old.child.process.kill('SIGTERM');
        // as an orchestrator does: no new connections from now on, those that are open stay
        balancer.to(...running.filter((one) => one !== old).map(({ url }) => url));
        expect(await old.child.ended).toBe('SIGTERM');
        const left = await fleet.rows('select id from workflow_task where lease_owner = $1', [old.worker]);
        expect(left).toEqual([]);
        expect(await fleet.workers()).not.toContain(old.worker);
        await successor;
        running = running.filter((one) => one !== old);
        balancer.to(...running.map(({ url }) => url));
      }
      await load();
      const done = async (): Promise<number> =>
        (await fleet.rows(`select 1 from workflow_run where status = 'completed'`)).length;
      await until(async () => (await done()) === triggered, done, 60_000);
      const { executed, journaled } = await counts(fleet);
      expect(executed).toHaveLength(triggered * STEPS);
      expect(executed).toEqual(journaled);
      expect(new Set(executed).size).toBe(executed.length);
      expect(await losses(fleet)).toEqual([]);
    },
  );
});
