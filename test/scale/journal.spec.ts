import { afterEach, describe, expect, it, vi } from 'vitest';
import { defineEvent } from 'nestjs-workflow';
import { Database } from '../../lib/typeorm/database.js';
import { isCommit } from '../support/binary-array.js';
import { Bench, MODES, type Mode, type Script } from '../replay/support.js';

vi.setConfig({ testTimeout: 300_000 });

const STEPS = 1000;
const PARALLEL = 200;
const GoOn = defineEvent<void>('go on');

const mode = (transport: Mode['transport']): Mode => ({
  ...MODES.find((one) => one.transport === 'http' && !one.fresh)!,
  transport,
});

/** What an application reads and sends. */
class Reads {
  /** rows of the journal that loads have brought */
  rows = 0;
  statements: Record<string, number> = {};

  constructor(bench: Bench) {
    const database = bench.app.get(Database);
    database.onQuery = (name) => (this.statements[name] = (this.statements[name] ?? 0) + 1);
    const query = database.query.bind(database);
    vi.spyOn(database, 'query').mockImplementation(async (name, text, values) => {
      const rows = await query<{ tag?: string }>(name, text, values);
      if (name === 'workflow_load') this.rows += rows.filter(({ tag }) => tag === 'step').length;
      return rows as never[];
    });
  }
}

const benches: Bench[] = [];
async function start(...args: Parameters<typeof Bench.start>): Promise<{ bench: Bench; reads: Reads }> {
  const [mode, options] = args;
  // a machine that stands still for a while costs no lease: what was lost is read again
  const overrides = { heartbeatMs: 3000, leaseTimeoutMs: 600_000 };
  const bench = await Bench.start(mode, { ...options, overrides });
  benches.push(bench);
  return { bench, reads: new Reads(bench) };
}
afterEach(async () => {
  const [last, ...others] = benches.splice(0).toReversed();
  for (const bench of others) await bench.stop();
  await last?.dispose();
});

const inARow: Script = async (ctx) => {
  let n = 0;
  for (let i = 0; i < STEPS; i++) {
    n = await ctx.run(`step ${i}`, () => n + 1);
    if (i === STEPS / 2) await ctx.waitForEvent('go on', GoOn('now'));
  }
  return n;
};

describe(`${STEPS} steps one after the other`, () => {
  it.each(['in-process', 'http'] as const)(
    'are read once at most while the run is known, %s',
    async (transport) => {
      const { bench, reads } = await start(mode(transport));
      const run = await bench.start(inARow);
      await run.waitsFor('go on');
      await bench.client.notify(GoOn('now'), undefined, { runId: run.runId });
      expect(await run.handle.result({ timeout: '4m' })).toBe(STEPS);

      // the wait, which the activation had not in its journal yet
      expect(reads.rows).toBeLessThanOrEqual(transport === 'http' ? STEPS + 1 : STEPS / 2 + 2);
    },
  );

  it.each(['in-process', 'http'] as const)(
    'are read once by the process that goes on with them, %s',
    async (transport) => {
      const { bench: first, reads: before } = await start(mode(transport));
      const run = await first.start(inARow);
      await run.waitsFor('go on');
      await first.stop();
      expect(before.rows).toBeLessThanOrEqual(STEPS / 2 + 1);
      const { bench, reads } = await start(mode(transport), { database: first.database });
      await bench.client.notify(GoOn('now'), undefined, { runId: run.runId });
      expect(await bench.client.run('scripted', run.runId).result({ timeout: '4m' })).toBe(STEPS);

      // all that was there, and over HTTP each of its own once
      expect(reads.rows).toBeGreaterThan(STEPS / 2);
      expect(reads.rows).toBeLessThanOrEqual(STEPS + 2);
    },
  );
});

it(`${PARALLEL} parallel steps over HTTP are each executed once, with few statements`, async () => {
  const { bench, reads } = await start(mode('http'));
  const executed = new Map<number, number>();
  const run = await bench.start(async (ctx) => {
    const all = Array.from({ length: PARALLEL }, (_, i) =>
      ctx.run(`part ${i}`, () => {
        executed.set(i, (executed.get(i) ?? 0) + 1);
        return i;
      }),
    );
    return (await Promise.all(all)).length;
  });
  expect(await run.handle.result({ timeout: '4m' })).toBe(PARALLEL);
  expect([...executed.values()]).toEqual(Array.from({ length: PARALLEL }, () => 1));
  const journal = await bench.client.journal(run.runId);
  expect(new Set(journal.map(({ key }) => key)).size).toBe(PARALLEL);
  expect(journal.every(({ state }) => state === 'journaled')).toBe(true);

  const { workflow_load: loads = 0, workflow_answer: answers = 0 } = reads.statements;
  const commits = Object.entries(reads.statements).filter(([name]) => isCommit(name));
  const flushes = commits.reduce((sum, [, count]) => sum + count, 0);
  expect(loads + answers + flushes).toBeLessThan(3 * PARALLEL);
});
