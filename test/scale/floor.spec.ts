import pg from 'pg';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Database } from '../../lib/typeorm/database.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { Bench, SettableClock } from '../contract/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { explaining } from './explain.js';

vi.setConfig({ testTimeout: 300_000 });

const ROUNDS = 10;
const RUNS = 5000;
const SLACK_MS = 5000;

let database: TestDatabase;
let source: DataSource;
let reader: pg.Client;
beforeAll(async () => {
  database = await createPostgres();
  source = await database.open();
  reader = new pg.Client({ connectionString: database.url! });
  await reader.connect();
});
afterAll(async () => {
  await reader?.end();
  await source?.destroy();
  await database?.dispose();
});

it(`a claim reads no more after ${ROUNDS * RUNS} tasks have gone behind a transaction that stays open`, async () => {
  const db = new Database(source);
  const clock = new SettableClock();
  const store = new TypeOrmRunStore(db, tablesOf(undefined), clock);
  const bench = new Bench({ store, clock, dispose: async () => undefined });
  // nothing that is deleted from now on can be vacuumed, and its index entries are not marked as dead
  await reader.query('begin isolation level repeatable read');
  await reader.query('select count(*) from workflow_task');
  const explained = explaining(db);
  const buffers: number[] = [];
  for (let round = 0, floor: number | null = null; round < ROUNDS; round++) {
    await source.query(
      `with runs as (
         insert into workflow_run (run_id, workflow, payload, trigger_id, created_at)
         select $1 || n, $2, '1', gen_random_uuid(), $3 from generate_series(1, $4::int) n returning id
       )
       insert into workflow_task (execution, workflow, kind, due_at) select id, $2, 'advance', $3 from runs`,
      [`round ${round} run `, bench.workflow, new Date(clock.now), RUNS],
    );
    explained.length = 0;
    for (let done = 0; done < RUNS;) {
      const tasks = await bench.claim(500, floor);
      if (done === 0) buffers.push(explained[0]!.buffers);
      explained.length = 0;
      const ends = tasks.map((task) => bench.commitOf(task, { next: { to: 'completed', result: '1' } }));
      expect(new Set(await store.commit(ends))).toEqual(new Set(['committed']));
      done += tasks.length;
    }
    floor = clock.now - SLACK_MS;
    clock.pass(2 * SLACK_MS);
  }
  const { rows } = await reader.query('select count(*)::int as n from workflow_task');
  expect(rows).toEqual([{ n: 0 }]);
  // each claims and writes 500 rows; the first one has no floor yet
  expect(buffers.at(-1)!).toBeLessThan(1.2 * buffers[1]!);
  // without the floor it goes through all that is gone
  explained.length = 0;
  await bench.claim(500, clock.now - SLACK_MS);
  await bench.claim(500, null);
  const [floored, floorless] = explained.map((reading) => reading.buffers) as [number, number];
  expect(floored).toBeLessThan(100);
  expect(floorless).toBeGreaterThan(5 * floored);
  await reader.query('commit');
});
