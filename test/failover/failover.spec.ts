import { afterEach, beforeAll, afterAll, beforeEach, describe, expect, it } from 'vitest';
import { WorkflowClient, type JournalEntry } from 'nestjs-workflow';
import { isTransient } from '../../lib/typeorm/database.js';
import { AUDIT_TABLES } from '../chaos/audit.js';
import { readTables } from '../chaos/collect.js';
import { judge } from '../chaos/judge.js';
import { boot, until, type Instance } from '../races/support.js';
import { bundle, Child } from '../support/child.js';
import { once, promote, startPair, type Pair } from './pair.js';
import { Proxy } from './proxy.js';
import { Chain, Links, TELL, type Executed } from './workload.js';

const RUNS = 60;

let program: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  program = await bundle('test/failover/children/worker.ts');
});
afterAll(() => program.remove());

let pair: Pair;
let proxy: Proxy;
let client: Instance;
let workers: Child[];
let executed: Executed[];
beforeEach(async () => {
  pair = await startPair();
  proxy = await Proxy.start(pair.primary.port);
  const { url } = proxy;
  const tell = { provide: TELL, useValue: () => undefined };
  const database = {
    options: { url },
    open: () => Promise.reject(new Error()),
    dispose: async () => undefined,
  };
  client = await boot(database, { providers: [tell, Links, Chain], worker: false, transport: 'in-process' });
  for (const statement of AUDIT_TABLES) await once(pair.primary, statement);
  workers = (['http', 'in-process'] as const).map((transport) => Child.start(program.file, [url, transport]));
  executed = [];
  for (const worker of workers) {
    worker.process.on(
      'message',
      (said: { executed?: Executed }) => said.executed && executed.push(said.executed),
    );
  }
  await Promise.all(workers.map((worker) => worker.message<{ ready?: true }>(({ ready }) => ready === true)));
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.kill()));
  await client.app.close();
  await proxy.close();
  await pair.dispose();
});

/** A read is not repeated by the client: whoever reads while there is no primary is told so, and asks again. */
async function untilRead<T>(read: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (!isTransient(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Triggers all, one after another, whatever happens meanwhile; then the result that each run has given. */
async function results(): Promise<Map<string, readonly string[]>> {
  const workflows = client.get(WorkflowClient);
  const given = new Map<string, readonly string[]>();
  const awaited: Promise<void>[] = [];
  for (let n = 0; n < RUNS; n++) {
    const run = await workflows.trigger(Chain, n, { runId: `chain-${n}` });
    awaited.push(
      untilRead(() => run.result({ timeout: '60s' })).then((result) => void given.set(run.runId, result)),
    );
  }
  await Promise.all(awaited);
  return given;
}

/** Nothing that was handed on differs from what the new primary has in its journal. */
async function check(given: ReadonlyMap<string, readonly string[]>): Promise<void> {
  expect(given.size).toBe(RUNS);
  const journals = new Map<string, JournalEntry[]>();
  for (const runId of given.keys()) journals.set(runId, await client.get(WorkflowClient).journal(runId));
  const journaled = (runId: string): unknown[] =>
    journals.get(runId)!.flatMap(({ kind, result }) => (kind === 'step' ? [result] : []));
  for (const [runId, chain] of given) expect(new Set(journaled(runId))).toEqual(new Set(chain));
  // each step was given what those before it are recorded with, also what was given just before the failover
  const wrong = executed.filter(({ runId, given: seen }) =>
    seen.some((one) => !journaled(runId).includes(one)),
  );
  expect(wrong).toEqual([]);
  const rows = async <R>(text: string): Promise<R[]> => client.rows<R>(text);
  const steps = executed.map((one) => ({ ...one, pid: 0 }));
  const verdict = judge({ accepted: [], steps, kills: [], ...(await readTables({ rows })) });
  expect(verdict.problems).toEqual([]);
  expect(verdict.executed).toBeGreaterThanOrEqual(RUNS * 8);
  const [where] = await rows<{ port: string }>(`select current_setting('port') as port`);
  expect(Number(where!.port)).toBe(pair.standby.port);
  // nobody was started again
  expect(workers.map(({ process: { exitCode, signalCode } }) => [exitCode, signalCode])).toEqual([
    [null, null],
    [null, null],
  ]);
}

describe('a failover to a synchronous standby, under load', () => {
  it('loses no acknowledged step when the primary dies; all reconnect by themselves', async () => {
    const all = results();
    await until(
      () => executed.length > RUNS,
      () => executed.length,
      60_000,
    );
    await pair.primary.stop('kill');
    const before = executed.length;
    await promote(pair.standby);
    proxy.switchTo(pair.standby.port);
    await check(await all);
    expect(executed.length).toBeGreaterThan(before);
  });

  it('leaves a former primary that is still there, and takes no writes any more', async () => {
    const all = results();
    await until(
      () => executed.length > RUNS,
      () => executed.length,
      60_000,
    );
    // as a controlled switchover does it: what is under way is committed, and then nothing is
    await once(pair.primary, 'alter system set default_transaction_read_only = on');
    await once(pair.primary, 'select pg_reload_conf()');
    const open = proxy.connections;
    await promote(pair.standby);
    proxy.switchTo(pair.standby.port);
    expect(open).toBeGreaterThan(0);
    await check(await all);
  });
});
