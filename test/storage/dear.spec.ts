import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SystemClock } from '../../lib/runtime/system-clock.js';
import { Database } from '../../lib/typeorm/database.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';

/** From there on the server compiles a statement before it executes it, which takes half a second of a processor. */
const JIT_ABOVE_COST = 100_000;

let database: TestDatabase;
let source: DataSource;
let store: TypeOrmRunStore;
/** what the planner takes each statement for, by its name */
const costs = new Map<string, number>();

beforeAll(async () => {
  database = await createPostgres();
  source = await database.open();
  // a worker's minute: the tables have grown, and nobody has analyzed them yet
  for (const table of ['run', 'step', 'task'])
    await source.query(`alter table workflow_${table} set (autovacuum_enabled = false)`);
  await source.query(
    `insert into workflow_run (run_id, workflow, status, payload, trigger_id, created_at)
     select 'run ' || i, 'busy', 'active', '1', gen_random_uuid(), now() from generate_series(1, 50000) i`,
  );
  await source.query(
    `insert into workflow_step (execution, key, name, kind, state, position, value, asked_at, finished_at)
     select r.id, 's' || i, 's', 'step', 'journaled', i, '1', now(), now() from workflow_run r, generate_series(1, 6) i`,
  );
  await source.query(
    `insert into workflow_task (execution, workflow, kind, due_at, lease_owner, fence)
     select r.id, 'busy', 'advance', now(), case when r.id % 50 = 0 then '${randomUUID()}'::uuid end, 1 from workflow_run r`,
  );
  const db = new Database(source);
  const send: Database['query'] = db.query.bind(db);
  db.query = async <R>(name: string, text: string, values: unknown[]): Promise<R[]> => {
    const [row] = await source.query<{ 'QUERY PLAN': { Plan: { 'Total Cost': number } }[] }[]>(
      `explain (format json) ${text}`,
      values,
    );
    costs.set(name, row!['QUERY PLAN'][0]!.Plan['Total Cost']);
    return send(name, text, values);
  };
  store = new TypeOrmRunStore(db, tablesOf(undefined), new SystemClock());
}, 60_000);
afterAll(async () => {
  await source?.destroy();
  await database?.dispose();
});

it('what a process asks again and again is not compiled, also in tables that were never analyzed', async () => {
  const worker = randomUUID();
  await store.register(worker, 'here', 1, ['busy']);
  await store.claim(worker, ['busy'], 100, null, 10);
  await store.claim(worker, ['busy'], 100, Date.now() - 5000, 10);
  await store.settle();
  await store.expire();
  await store.unserved();
  // finds what a worker holds that nobody knows: the sweep itself, of which that is the rare case, may be dear
  expect(await store.sweep(worker, 60_000)).toBe(1000);
  expect(costs.get('workflow_sweep')).toBeGreaterThan(JIT_ABOVE_COST);
  costs.delete('workflow_sweep');
  expect(await store.sweep(worker, 60_000)).toBe(0);
  expect([...costs.keys()]).toEqual(
    expect.arrayContaining([
      'workflow_claim',
      'workflow_expire',
      'workflow_sweep_look',
      'workflow_unserved_queues',
    ]),
  );
  expect([...costs].filter(([, cost]) => cost > JIT_ABOVE_COST)).toEqual([]);
});
