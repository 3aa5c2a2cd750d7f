import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import pg from 'pg';
import { bundle, Child } from '../support/child.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';

// processes boot one after the other
vi.setConfig({ testTimeout: 120_000 });

let program: Awaited<ReturnType<typeof bundle>>;
let database: TestDatabase;
let server: pg.Client;
const children: Child[] = [];
const executed: string[] = [];
beforeAll(async () => {
  program = await bundle('test/schedules/children/ticker.ts');
});
afterAll(() => program?.remove());
beforeEach(async () => {
  executed.length = 0;
  database = await createPostgres();
  server = new pg.Client({ connectionString: database.url! });
  await server.connect();
});
afterEach(async () => {
  for (const child of children.splice(0)) await child.kill();
  await server.end();
  await database.dispose();
});

interface Run {
  run_id: string;
  at: number;
  status: string;
}

async function runs(): Promise<Run[]> {
  const { rows } = await server.query<Run>(
    `select run_id, extract(epoch from split_part(run_id, '@', 2)::timestamptz)::int as at, status from workflow_run order by id`,
  );
  return rows;
}
const untilRuns = (count: number): Promise<void> =>
  vi.waitFor(async () => expect((await runs()).length).toBeGreaterThanOrEqual(count), {
    timeout: 60_000,
    interval: 50,
  });

async function start(...args: string[]): Promise<Child> {
  const child = Child.start(program.file, [database.url!, ...args]);
  children.push(child);
  // from the first moment: it may come to a time before the others are up, and the one that is to hang before it hangs
  child.process.on('message', (said: { executed?: string }) => said.executed && executed.push(said.executed));
  await child.message(({ up }: { up?: number }) => up !== undefined);
  return child;
}

it('a time whose process is killed while it starts it is started by another, once; no second is left out', async () => {
  const fleet = await Promise.all([start(), start(), start()]);
  await untilRuns(4);

  // this one comes to a time first, sooner or later: what it has locked and inserted goes with it
  const hanging = await start('hang');
  const { inside } = (await hanging.message(
    ({ inside: runId }: { inside?: string }) => runId !== undefined,
  )) as { inside: string };
  expect((await runs()).map(({ run_id }) => run_id)).not.toContain(inside);
  await hanging.kill();
  await untilRuns((await runs()).length + 3);
  expect((await runs()).map(({ run_id }) => run_id)).toContain(inside);

  // and one at any moment
  await fleet[0].kill();
  await untilRuns((await runs()).length + 4);
  await fleet[1].kill();
  await untilRuns((await runs()).length + 2);

  const all = await runs();
  const first = all[0]!.at;
  expect(all.map(({ at }) => at)).toEqual(all.map((_, n) => first + n));
  // what the dead have held is freed after their lease timeout
  const mine = all.map(({ run_id }) => run_id);
  const ended = async (): Promise<boolean> =>
    (await runs()).filter(({ run_id, status }) => mine.includes(run_id) && status !== 'completed').length ===
    0;
  await vi.waitFor(async () => expect(await ended()).toBe(true), { timeout: 60_000, interval: 100 });
  // what a process says of the last one may come after what the database says
  await expect.poll(() => mine.filter((runId) => !executed.includes(runId))).toEqual([]);
});
