import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkflowClient } from 'nestjs-workflow';
import { boot, until, type Instance } from '../races/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { Fleet } from './support.js';
import { Blocks, WORKFLOWS } from './workflows.js';

vi.setConfig({ testTimeout: 120_000 });

/** The lease timeout is long enough for a thread that is started and connects on a busy machine. */
const WORKER = { heartbeat: '250ms', leaseTimeout: '3s', pollInterval: '100ms' } as const;
const BRIDGED = { ...WORKER, maxBlocked: '1m' } as const;

let database: TestDatabase;
let fleet: Fleet;
let client: Instance;
let remove: () => void;
beforeAll(async () => {
  remove = await Fleet.prepare();
});
afterAll(() => remove?.());
beforeEach(async () => {
  database = await createPostgres();
  fleet = new Fleet(database.url!);
  client = await boot(database, {
    transport: 'in-process',
    worker: false,
    // it looks on, and presumes nobody dead
    overrides: { heartbeatMs: 200, leaseTimeoutMs: 600_000 },
    providers: WORKFLOWS,
  });
});
afterEach(async () => {
  await fleet.end();
  await client.app.close();
  await database.dispose();
});

/** The step is being executed by the first, and the second would take it. */
async function blocked(order: Parameters<Fleet['start']>[0], payload: { ms: number; busy: boolean }) {
  const members = await Promise.all([fleet.start(order), fleet.start(order)]);
  const run = await client.get(WorkflowClient).trigger(Blocks, payload);
  await until(() => fleet.executions.length === 1, 'the execution');
  const [first, second] = members.toSorted((one) => (one.pid === fleet.executions[0]!.pid ? -1 : 1));
  return { first: first!, second: second!, run, result: run.result({ timeout: '60s' }) };
}

/** Connections on which the thread of somebody has beaten. */
const threads = (): Promise<{ pid: number }[]> =>
  fleet.rows(`select pid from pg_stat_activity where datname = current_database()
    and query ~ '^update .*workflow_worker.* set beat_at = now\\(\\)'`);

describe('a step that blocks the event loop', () => {
  it.each(['in-process', 'http'] as const)(
    'for many lease timeouts keeps its lease and is executed once, %s',
    async (transport) => {
      const busy = transport === 'in-process';
      const { first, result } = await blocked({ transport, worker: BRIDGED }, { ms: 10_000, busy });
      const tasks = await fleet.tasks();
      expect(tasks).toEqual([{ owner: first.worker, fence: expect.any(Number), lost: 0 }]);
      await until(async () => (await threads()).length === 1, 'the beat of the thread');
      expect((await result)[0]).toBe(first.pid);
      expect(fleet.executedBy('Steps.block')).toEqual([first.pid]);
      expect(fleet.executedBy('Steps.short')).toHaveLength(1);
      // and it was not presumed dead; a beat that was on its way when the block began may have run into its time limit
      expect(first.said.filter((line) => line.includes('presumed dead'))).toEqual([]);
    },
  );

  it('loses it where there is no thread: others execute it again', async () => {
    const worker = { ...WORKER, maxBlocked: false } as const;
    const { first, second, result } = await blocked(
      { transport: 'in-process', worker },
      { ms: 10_000, busy: true },
    );
    expect((await result)[0]).toBe(second.pid);
    expect(fleet.executedBy('Steps.block')).toEqual([first.pid, second.pid]);
  });

  it('for longer than `maxBlocked` loses it, and writes nothing when it wakes up', async () => {
    const worker = { ...WORKER, maxBlocked: '3s' } as const;
    const { first, second, run, result } = await blocked(
      { transport: 'in-process', worker },
      { ms: 12_000, busy: false },
    );
    expect(await result).toEqual([second.pid, second.pid]);
    expect(fleet.executions.map(({ pid }) => pid)).toEqual([first.pid, second.pid, second.pid]);
    const all = (): Promise<unknown[]> =>
      Promise.all([fleet.rows('select * from workflow_run'), fleet.rows('select * from workflow_step')]);
    const before = await all();
    await until(() => first.said.some((line) => line.includes('presumed dead')), 'the end of the block');
    // it works again, and what it had is not its any more
    await second.child.kill();
    const again = await client.get(WorkflowClient).trigger(Blocks, { ms: 0, busy: false });
    expect(await again.result({ timeout: '30s' })).toEqual([first.pid, first.pid]);
    expect(fleet.executedBy('Steps.short', run.runId)).toEqual([second.pid]);
    const after = (await all()) as { id?: string; execution?: string }[][];
    const [[{ id }]] = before as [[{ id: string }]];
    expect(after.map((rows) => rows.filter((row) => (row.execution ?? row.id) === id))).toEqual(before);
  });

  it('keeps its lease while the connection of the thread is cut, again and again', async () => {
    const { first, result } = await blocked(
      { transport: 'in-process', worker: BRIDGED },
      { ms: 10_000, busy: false },
    );
    const cut = new Set<number>();
    while (cut.size < 3) {
      await until(async () => (await threads()).some(({ pid }) => !cut.has(pid)), 'the next connection');
      for (const { pid } of await threads()) {
        cut.add(pid);
        await fleet.rows('select pg_terminate_backend($1)', [pid]);
      }
    }
    expect((await result)[0]).toBe(first.pid);
    expect(fleet.executedBy('Steps.block')).toEqual([first.pid]);
  });

  it('leaves no connection behind: the thread closes its own when it has not been needed for a while', async () => {
    const { result } = await blocked({ transport: 'in-process', worker: BRIDGED }, { ms: 2000, busy: false });
    await until(async () => (await threads()).length === 1, 'the beat of the thread');
    await result;
    await until(async () => (await threads()).length === 0, 'the end of its connection');
  });
});

describe('with the default options', () => {
  it('a step that blocks for 30 seconds keeps its lease', async () => {
    const order = { transport: 'in-process', worker: {} } as const;
    const { first, result } = await blocked(order, { ms: 30_000, busy: false });
    expect((await result)[0]).toBe(first.pid);
    expect(fleet.executedBy('Steps.block')).toEqual([first.pid]);
    expect(first.said.filter((line) => line.includes('presumed dead'))).toEqual([]);
  });
});
