import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/runtime/system-clock.js';
import { Database } from '../../lib/typeorm/database.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { Bench, SettableClock } from '../contract/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';

interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  Plans?: Node[];
}
const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

const ENDED = 1_000_000;

describe(`after ${ENDED} runs have ended, each with a step`, () => {
  let database: TestDatabase;
  let source: DataSource;
  let bench: Bench;
  let db: Database;
  /** tables that a statement has read from end to end, by its name */
  const scanned = new Map<string, Set<string>>();

  beforeAll(async () => {
    database = await createPostgres();
    source = await database.open();
    db = new Database(source);
    const send: Database['query'] = db.query.bind(db);
    db.query = async <R>(name: string, text: string, values: unknown[]): Promise<R[]> => {
      const [row] = await source.query<{ 'QUERY PLAN': { Plan: Node }[] }[]>(
        `explain (format json) ${text}`,
        values,
      );
      const tables = scanned.get(name) ?? new Set();
      scanned.set(name, tables);
      for (const node of nodesOf(row!['QUERY PLAN'][0]!.Plan))
        if (node['Node Type'] === 'Seq Scan') tables.add(node['Relation Name']!);
      return send(name, text, values);
    };
    const store = new TypeOrmRunStore(db, tablesOf(undefined), new SystemClock());
    bench = new Bench({ store, clock: new SettableClock(), dispose: async () => undefined });
    await source.query(
      `insert into workflow_run (run_id, workflow, status, payload, result, trigger_id, created_at, finished_at, parent_id, parent_key)
       select 'ended ' || i, 'other', 'completed', '1', '1', gen_random_uuid(), now(), now(), i / 10 + 1, 'part'
       from generate_series(1, ${ENDED}) i`,
    );
    await source.query(
      `insert into workflow_step (execution, key, name, kind, state, position, value, asked_at, finished_at)
       select r.id, 'part', 'part', 'invoke', 'journaled', 1, '1', now(), now() from workflow_run r`,
    );
    await source.query('analyze');
  }, 120_000);
  afterAll(async () => {
    await source?.destroy();
    await database?.dispose();
  });

  it('a family begins, ends, is told and cancelled, and goes on as new, without reading them', async () => {
    const parent = await bench.claimed('parent');
    const child = (id: string) =>
      bench.row(bench.id(id), { parent: { execution: parent.execution, key: id, depth: 1, cascades: true } });
    await bench.store.trigger([child('one'), child('two')]);
    const [one] = await bench.claim();
    await bench.commit(one!, { lean: true, rows: [bench.fact('a', 1)] });
    await bench.commit(one!, {
      lean: true,
      rows: [bench.fact('b', 2)],
      next: { to: 'completed', result: '7' },
    });
    expect((await bench.store.settle()).reported).toBe(1);
    await bench.store.cancel({ runIds: [parent.runId] });
    expect((await bench.store.settle()).cancelled).toHaveLength(1);
    const loop = await bench.claimed('loop');
    await bench.store.notify({
      eventId: '00000000-0000-4000-8000-000000000001',
      event: 'go',
      data: '1',
      runId: loop.runId,
      keepForMs: null,
    });
    const next = { to: 'continued', payload: '1', deadlineInMs: null } as const;
    expect(await bench.commit(loop, { wantedSeen: 1, rows: [bench.fact('a', 1)], next })).toBe('committed');
    await bench.store.expire();

    await db.query('whole', `select count(*) from workflow_run where payload = 'x'`, []);
    expect(scanned.get('whole'), 'it would be seen').toEqual(new Set(['workflow_run']));
    scanned.delete('whole');
    const large = new Set(['workflow_run', 'workflow_step']);
    const found = [...scanned].flatMap(([name, tables]) =>
      [...tables].filter((table) => large.has(table)).map((table) => `${name} reads ${table}`),
    );
    expect([...scanned.keys()]).toEqual(
      expect.arrayContaining([
        'workflow_trigger',
        'workflow_commit',
        'workflow_commit_lean',
        'workflow_commit_steps',
        'workflow_report_children',
        'workflow_cancel_children',
        'workflow_cascaded',
        'workflow_expire',
      ]),
    );
    expect(found).toEqual([]);
  });
});
