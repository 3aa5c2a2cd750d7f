import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/runtime/system-clock.js';
import { Database } from '../../lib/typeorm/database.js';
import { claim, claimFlow, flowKeys } from '../../lib/typeorm/statements/index.js';
import type { Statement } from '../../lib/typeorm/statements/statement.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { Bench, SettableClock } from '../contract/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';

interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: Node[];
}

const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

class RealTime extends SettableClock {
  override sqlNow(): Date {
    return null as unknown as Date;
  }
}

describe('a claim with a million due tasks behind keys that are paused, full or out of rate', () => {
  const MILLION = 1_000_000;
  let database: TestDatabase;
  let source: DataSource;
  let db: Database;
  let bench: Bench;
  const worker = randomUUID();

  beforeAll(async () => {
    database = await createPostgres();
    source = await database.open();
    db = new Database(source);
    const store = new TypeOrmRunStore(db, tablesOf(undefined), new SystemClock());
    bench = new Bench({ store, clock: new RealTime(), dispose: async () => undefined });
    // each key is made by a run of its own, and then has its part of the million behind it
    const flow = (key: string, parallelism: number | null, rate: number | null) => ({
      key,
      parallelism,
      rate,
      periodMs: rate === null ? null : 3_600_000,
    });
    await store.pauseFlow('paused', true);
    await store.trigger([
      bench.row('r1', { flow: flow('paused', 5, null) }),
      bench.row('r2', { flow: flow('full', 1, null) }),
      bench.row('r3', { flow: flow('spent', null, 1) }),
    ]);
    await store.claimFlow(worker, [bench.workflow], 100);
    await source.query(
      `insert into workflow_task (execution, workflow, kind, due_at, flow_key)
       select -n, $1, 'advance', now() - interval '1 hour', (array['paused', 'full', 'spent'])[1 + n % 3]
       from generate_series(1, ${MILLION}) n`,
      [bench.workflow],
    );
    await source.query(`
      update workflow_flow_control
      set head_at = now() - interval '2 hours', ready_at = greatest(now() - interval '2 hours', blocked_until, served_at)`);
    await source.query('analyze workflow_task');
    await store.trigger(
      Array.from({ length: 10 }, (_, i) => bench.row(`free${i}`, { flow: flow(`free${i % 2}`, 3, null) })),
    );
    await store.trigger([bench.row('plain')]);
  });

  afterAll(async () => {
    await db.close();
    await source.destroy();
    await database.dispose();
  });

  /** What the statement reads, and the rows it gives; nothing of it is kept unless `keep`. */
  async function explained(statement: Statement, values: unknown[]) {
    const runner = source.createQueryRunner();
    await runner.startTransaction('READ COMMITTED');
    try {
      const text = statement.text(tablesOf(undefined));
      const [row] = await runner.query(`explain (analyze, buffers, format json) ${text}`, values);
      const root: Node = row['QUERY PLAN'][0].Plan;
      const onTables = nodesOf(root).filter((node) => node['Relation Name']?.startsWith('workflow_task'));
      return {
        scans: [...new Set(onTables.map((node) => node['Node Type']))].filter((type) =>
          type.includes('Scan'),
        ),
        // rows per loop are an average
        rows: onTables.reduce((sum, node) => sum + node['Actual Rows'] * node['Actual Loops'], 0),
        buffers: root['Shared Hit Blocks'] + root['Shared Read Blocks'],
      };
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
    }
  }

  it('reads them by index, and no more of them than without the million', async () => {
    const queues = [bench.workflow];
    const read = {
      plain: await explained(claim, [null, worker, queues, [100], null, 100, 0, [0], 32, 10]),
      keys: await explained(flowKeys, [null, null, queues, 200]),
      lines: await explained(claimFlow, [null, worker, queues, [100], ['free0', 'free1'], 100, 0]),
    };
    for (const { scans, rows, buffers } of Object.values(read)) {
      expect(
        scans.filter((type) => !/^(Index Scan|Index Only Scan|Bitmap Heap Scan|Tid Scan)$/.test(type)),
      ).toEqual([]);
      expect(rows).toBeLessThan(100);
      expect(buffers).toBeLessThan(1000);
    }
  });

  it('finds the keys that are free, and only these', async () => {
    const { tasks } = await bench.store.claimFlow(worker, [bench.workflow], 100);
    expect(tasks.map(({ runId }) => runId).filter((runId) => !runId.startsWith('free'))).toEqual([]);
    expect(tasks).toHaveLength(6);
    const { tasks: plain, flowDueAt } = await bench.store.claim(worker, [bench.workflow], 100, null);
    expect(plain.map(({ runId }) => runId)).toEqual(['plain']);
    // the rate allows the next in an hour
    expect(flowDueAt).toBeGreaterThan(Date.now() + 3_000_000);
    expect((await bench.store.flows('full', null, 1))[0]).toMatchObject({ running: 1 });
  });

  it('a line of a hundred thousand delays the only task of another key by one claim at most', async () => {
    const { store } = bench;
    await store.trigger([
      bench.row('long', { flow: { key: 'long', parallelism: 1e6, rate: null, periodMs: null } }),
    ]);
    await store.claimFlow(worker, [bench.workflow], 100);
    await source.query(`
      with runs as (
        insert into workflow_run (run_id, workflow, payload, trigger_id, created_at)
        select 'long' || n, 'long', '1', gen_random_uuid(), now() from generate_series(1, 100000) n returning id
      )
      insert into workflow_task (execution, workflow, kind, due_at, flow_key)
      select id, 'long', 'advance', now() - interval '1 minute', 'long' from runs`);
    await source.query(`
      insert into workflow_flow_note (flow_key, workflow, due_at, noted_at, frees)
      values ('long', 'long', now() - interval '1 hour', now(), false)`);
    const both = [bench.workflow, 'long'];
    const claims: string[][] = [];
    const look = async (): Promise<void> =>
      void claims.push((await store.claimFlow(worker, both, 20)).tasks.map(({ runId }) => runId));
    await look();
    expect(claims[0]).toHaveLength(20);
    for (let i = 0; i < 5; i++) {
      const short = { key: `short${i}`, parallelism: 1, rate: null, periodMs: null };
      await store.trigger([bench.row(`short${i}`, { flow: short })]);
      await look();
      // in the very next claim, beside what else there is room for
      expect(claims.at(-1)).toContain(`short${i}`);
      expect(claims.at(-1)!.length).toBe(20);
    }
  });
});
