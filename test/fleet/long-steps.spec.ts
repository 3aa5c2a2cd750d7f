import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkflowClient } from 'nestjs-workflow';
import { boot, until, type Instance } from '../races/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { Balancer } from './balancer.js';
import { Fleet, type Member } from './support.js';
import { TakesLong, WORKFLOWS } from './workflows.js';

vi.setConfig({ testTimeout: 120_000 });

const signingKey = 'a key that all processes know, of forty characters';
const WORKER = { heartbeat: '300ms', leaseTimeout: '3s', pollInterval: '100ms' } as const;
/** Adopts what takes longer than a heartbeat. */
const ADOPTS = { heartbeatMs: 300, leaseTimeoutMs: 3000 };
const NEVER_ADOPTS = { heartbeatMs: 600_000, leaseTimeoutMs: 2_000_000 };

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
  balancer = await Balancer.start();
  client = await boot(database, {
    transport: 'in-process',
    worker: false,
    overrides: { heartbeatMs: 300, leaseTimeoutMs: 600_000 },
    providers: WORKFLOWS,
  });
});
afterEach(async () => {
  await fleet.end();
  await client.app.close();
  await balancer.close();
  await database.dispose();
});

/** Executes what it is given, and claims nothing. */
const endpoint = (overrides = ADOPTS): Promise<Member> =>
  fleet.start({ transport: 'http', worker: false, http: { signingKey }, overrides });
/** Claims, and delivers to where the balancer leads. */
const dispatcher = (): Promise<Member> =>
  fleet.start({ transport: 'http', worker: WORKER, http: { url: balancer.url, signingKey } });

const journaled = (): Promise<{ key: string }[]> =>
  fleet.rows(`select key from workflow_step where state = 'journaled' order by position`);

describe('a dispatcher that dies while an endpoint executes', () => {
  it.each(['before the endpoint has adopted the step', 'after that'])(
    '%s: the step is executed once, and the run goes on by another dispatcher',
    async (when) => {
      const e = await endpoint();
      balancer.to(e.url);
      const first = await dispatcher();
      const run = await client.get(WorkflowClient).trigger(TakesLong, undefined);
      await until(() => fleet.executions.length === 1, 'the execution');
      const adopted = async (): Promise<boolean> => (await fleet.tasks())[0]!.owner === e.worker;
      if (when === 'after that') await until(adopted, 'the adoption');
      await first.child.kill();
      await until(adopted, 'the adoption');
      const { fence } = (await fleet.tasks())[0]!;

      await dispatcher();
      await until(async () => !(await fleet.workers()).includes(first.worker), 'the sweep');
      expect(await fleet.tasks()).toEqual([{ owner: e.worker, fence, lost: 0 }]);
      fleet.letGo();
      expect(await run.result({ timeout: '30s' })).toEqual([e.pid, e.pid]);
      expect(fleet.executedBy('Steps.long')).toEqual([e.pid]);
      expect(fleet.executedBy('Steps.short')).toEqual([e.pid]);
    },
  );
});

describe('an endpoint that dies while its dispatcher lives', () => {
  it.each([
    { when: 'before it has adopted the step', overrides: NEVER_ADOPTS, adopts: false },
    { when: 'after it has adopted the step', overrides: ADOPTS, adopts: true },
  ])('$when: the step is executed again under another fence, and journaled once', async (how) => {
    const [first, second] = [await endpoint(how.overrides), await endpoint(how.overrides)];
    balancer.to(first.url);
    const d = await dispatcher();
    const run = await client.get(WorkflowClient).trigger(TakesLong, undefined);
    await until(() => fleet.executions.length === 1, 'the execution');
    const owner = how.adopts ? first.worker : d.worker;
    await until(async () => (await fleet.tasks())[0]!.owner === owner, 'the lease');
    const [before] = await fleet.tasks();
    const killed = performance.now();
    await first.child.kill();
    balancer.to(second.url);

    await until(() => fleet.executedBy('Steps.long').length === 2, 'the second execution', 30_000);
    // nobody can know what the first one has done: it is given the time in which it would have beaten
    expect(performance.now() - killed).toBeGreaterThan(2000);
    const [after] = await fleet.tasks();
    expect(after!.fence).toBeGreaterThan(before!.fence);
    // counted as a loss by the sweep alone: a dispatcher that did not hear of the adoption any more gives it back itself
    expect(after!.lost).toBeLessThanOrEqual(how.adopts ? 1 : 0);
    fleet.letGo();
    expect(await run.result({ timeout: '30s' })).toEqual([second.pid, second.pid]);
    expect(fleet.executedBy('Steps.long')).toEqual([first.pid, second.pid]);
    expect(await journaled()).toEqual([{ key: 'Steps.long' }, { key: 'Steps.short' }]);
    expect(d.child.process.exitCode).toBeNull();
  });
});
