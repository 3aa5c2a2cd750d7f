import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../lib/runtime/system-clock.js';
import { Database } from '../../lib/typeorm/database.js';
import { StatementSender } from '../../lib/typeorm/statement-sender.js';
import { TypeOrmScheduleStore } from '../../lib/typeorm/schedule.store.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { explaining, type Reading } from './explain.js';
import { BIG, insertMillions, MILLION, OLD_VERSION, OWNER } from './million.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });

/** These have a million rows; the others are small, or grow with what is in use at the moment. */
const LARGE = ['workflow_run', 'workflow_step', 'workflow_task', 'workflow_message'];

describe(`with ${MILLION} rows of every kind`, () => {
  let database: TestDatabase;
  let source: DataSource;
  let readings: Reading[];
  let store: TypeOrmRunStore;
  let schedules: TypeOrmScheduleStore;
  const queues = [BIG];

  beforeAll(async () => {
    database = await createPostgres();
    source = await database.open();
    await insertMillions(source);
    const db = new Database(source);
    readings = explaining(db);
    const tables = tablesOf(undefined);
    store = new TypeOrmRunStore(db, tables, new SystemClock());
    schedules = new TypeOrmScheduleStore(new StatementSender(db, tables, new SystemClock()), store);
  });
  afterAll(async () => {
    await source?.destroy();
    await database?.dispose();
  });
  beforeEach(() => void (readings.length = 0));

  /** What was sent since the test began found its rows by index, and read no more rows and pages than this. */
  function readLittle(names: readonly string[], rows: number, buffers: number): void {
    expect([...new Set(readings.map(({ name }) => name))]).toEqual(names.map((name) => `workflow_${name}`));
    for (const reading of readings) {
      const { name, scanned } = reading;
      expect({ name, scanned: scanned.filter((table) => LARGE.includes(table)) }).toEqual({
        name,
        scanned: [],
      });
      expect(reading.rows, `${name} reads so many rows`).toBeLessThanOrEqual(rows);
      expect(reading.buffers, `${name} reads so many pages`).toBeLessThanOrEqual(buffers);
    }
  }

  const claimed = async () => (await store.claim(OWNER, queues, 10, null, 10)).tasks[0]!;

  it('a scan of a large table would be seen', async () => {
    await store.list({ status: 'pending' }, 1, null);
    expect(readings[0]!.rows).toBeGreaterThan(MILLION);
  });

  it('a claim, with and without a floor', async () => {
    await store.claim(OWNER, queues, 10, null, 10);
    await store.claim(OWNER, queues, 10, Date.now() - 5000, 10);
    await store.claim(OWNER, ['nothing here'], 10, null, 10);
    readLittle(['claim'], 200, 1000);
  });

  it('the load of a run, a commit and the end of it, and a beat', async () => {
    const { taskId, fence, execution } = await claimed();
    readings.length = 0;
    await store.load([{ taskId, fence, position: 0 }]);
    const commit = {
      taskId,
      fence,
      execution,
      turn: null,
      wantedSeen: 0,
      rows: [],
      tasks: [],
      consumed: [],
      rollbacks: null,
    };
    expect(await store.commit([{ ...commit, next: { to: 'suspend', dueAt: null } }])).toEqual(['committed']);
    expect(await store.commit([{ ...commit, next: { to: 'completed', result: '1' } }])).toEqual([
      'committed',
    ]);
    readLittle(['load', 'commit'], 200, 1000);
    readings.length = 0;
    await store.beat(OWNER, [{ taskId, fence }]);
    // all that is leased to this process
    readLittle(['beat'], 2000, 3000);
  });

  it('an event for one run and for all that wait, who waits, and kept events', async () => {
    const event = (name: string, runId: string | null, keepForMs: number | null) =>
      store.notify({ eventId: randomUUID(), event: name, data: '1', runId, keepForMs });
    expect(await event('event 771', `run${MILLION - 229}`, null)).toMatchObject({
      woken: [`run${MILLION - 229}`],
    });
    await event('nobody', null, 1000);
    expect((await event('event 771', null, null)).woken.length).toBeGreaterThan(100);
    await store.waiters('event 771');
    const { taskId, fence, execution } = await claimed();
    await store.collectKept(execution, ['kept 777777'], { taskId, fence });
    await store.webhook('nothing');
    readLittle(
      ['notify_run', 'keep_event', 'notify_waiters', 'waiters', 'claim', 'collect_kept', 'find_webhook'],
      8000,
      30_000,
    );
  });

  it('runs by their ids, the newest, and the present page of the list', async () => {
    await store.find(`run${MILLION}`);
    await store.ended([`run${MILLION}`, 'run1', 'run2']);
    await store.list({}, 50, null);
    await store.list({ workflow: BIG }, 50, `${MILLION / 2}`);
    await store.journal('run7');
    readLittle(['find_run', 'ended_runs', 'list_runs', 'run_journal'], 4000, 2000);
  });

  it('what is owed after ends, cancels and restarts', async () => {
    await store.settle();
    await store.handOver(null);
    await store.cancel({ runIds: [`run${MILLION - 2}`] });
    await store.resume([`run${MILLION - 7}`]);
    readLittle(
      ['cancel_children', 'cascaded', 'report_children', 'hand_over', 'cancel_runs', 'resume_runs'],
      500,
      1000,
    );
  });

  it('the sweep, which reads what is leased', async () => {
    // 500 of workers that are gone, and 500 of one that lives
    expect(await store.sweep(OWNER, 10_000)).toBe(500);
    readLittle(['sweep_look', 'sweep'], 15_000, 30_000);
  });

  it('queues that nobody serves, and a batch of runs that are taken over', async () => {
    expect(await store.unserved()).toEqual([OLD_VERSION]);
    const move = { queue: OLD_VERSION, workflow: BIG, from: '1', to: null };
    expect(await store.takeOver([move])).toBe(500);
    // 500 runs with two tasks each, and the keys of flow control
    readLittle(['unserved_queues', 'take_over'], 60_000, 60_000);
    expect(readings.find(({ name }) => name === 'workflow_take_over')!.rows).toBeLessThan(20_000);
  });

  it('schedules that are due', async () => {
    await schedules.due(queues, [], [], 100);
    readLittle(['due_schedules'], 500, 500);
  });
});
