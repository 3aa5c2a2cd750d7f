import { afterEach, expect, it } from 'vitest';
import { ScheduleStore, type ScheduleRow } from '../../lib/ports/index.js';
import { dueSchedules } from '../../lib/typeorm/statements/schedule.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { HOUR, Job, SharedClock, startProcess, type Process } from './support.js';

const NOON = Date.parse('2026-06-01T12:00Z');

let database: TestDatabase;
const processes: Process[] = [];
afterEach(async () => {
  for (const one of processes.splice(0)) await one.close();
  await database.dispose();
});

const row = (id: string, given: Partial<ScheduleRow> = {}): ScheduleRow => ({
  id,
  workflow: 'job',
  cron: '0 * * * *',
  everyMs: null,
  timezone: 'UTC',
  overlap: 'allow',
  catchUp: 'all',
  payload: '["p"]',
  labels: [],
  source: 'client',
  nextAt: NOON + HOUR,
  ...given,
});

interface Counted {
  runs: number;
  schedules: number;
}
const count = async (one: Process): Promise<Counted> => {
  const [found] = await one.database.source.query<Counted[]>(
    `select count(*)::int as runs, count(distinct split_part(run_id, '@', 1))::int as schedules from workflow_run`,
  );
  return found!;
};

it('a thousand schedules of one moment are started once each by three processes, in order and in batches', async () => {
  database = await createPostgres();
  const clock = new SharedClock(NOON);
  for (let n = 0; n < 3; n++) processes.push(await startProcess(database, clock));
  const [first] = processes as [Process];
  await first.app.get(ScheduleStore).put(Array.from({ length: 1000 }, (_, n) => row(`s${n}`)));
  clock.at = NOON + 3 * HOUR;
  await Promise.all(processes.map((one) => one.runner.look()));
  await expect.poll(() => count(first), { timeout: 30_000 }).toEqual({ runs: 3000, schedules: 1000 });
  const left = await first.app.get(ScheduleStore).due(['job'], [], [], 1);
  expect(left).toMatchObject({ due: [], nextAt: NOON + 4 * HOUR });
});

it('a transaction holds so much text and no more: large payloads that are to be caught up follow one another', async () => {
  database = await createPostgres();
  const clock = new SharedClock(NOON);
  // nobody executes them: it is about how they are started
  const one = await startProcess(database, clock, {
    providers: [Job],
    workflow: { worker: { concurrency: 1 } },
  });
  processes.push(one);
  const store = one.app.get(ScheduleStore);
  const payload = `["${'x'.repeat(2 ** 20)}"]`;
  await store.put([row('large', { payload }), row('also', { payload }), row('small')]);
  const move = store.move.bind(store);
  const sizes: number[] = [];
  store.move = (moves) => {
    sizes.push(moves.flatMap(({ starts }) => starts).reduce((sum, { run }) => sum + run.payload.length, 0));
    return move(moves);
  };
  clock.at = NOON + 24 * HOUR;
  await one.runner.look();
  expect(await count(one)).toEqual({ runs: 72, schedules: 3 });
  expect(Math.max(...sizes)).toBeLessThan(10 * 2 ** 20);
});

it('the statement that looks reads what is due and what is next, and not the others', async () => {
  database = await createPostgres();
  const one = await startProcess(database, new SharedClock(NOON));
  processes.push(one);
  await one.database.source.query(`
    insert into workflow_schedule (id, workflow, cron, timezone, overlap, catch_up, payload, source, next_at, created_at, updated_at)
    select 's' || n, 'job', '0 * * * *', 'UTC', 'allow', 'last', '1', 'client', to_timestamp(${(NOON + HOUR) / 1000}) + n * interval '1 s', now(), now()
    from generate_series(1, 50000) n`);
  await one.database.source.query('analyze workflow_schedule');
  const text = dueSchedules.text(tablesOf(undefined));
  const values = [NOON, ['job', 'other'], [], [], 100];
  const plan = JSON.stringify(
    await one.database.source.query(`explain (analyze, format json) ${text}`, values),
  );
  expect(plan).toContain('"Index Name":"workflow_schedule_due"');
  const scans = [
    ...plan.matchAll(
      /"Node Type":"([^"]+)"[^{}]*?"Relation Name":"workflow_schedule"[^{}]*?"Actual Rows":(\d+)/g,
    ),
  ];
  expect(scans.length).toBeGreaterThan(0);
  for (const [, node, rows] of scans) {
    expect(node).not.toBe('Seq Scan');
    expect(Number(rows)).toBeLessThanOrEqual(100);
  }
});
