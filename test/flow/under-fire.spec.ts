import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WorkflowClient } from 'nestjs-workflow';
import { boot, until, type Instance } from '../races/support.js';
import { bundle, Child } from '../support/child.js';
import { createMemory, createPostgres, type TestDatabase } from '../support/databases.js';
import { limitsOf, UnderFire } from './workload.js';

/**
 * Each lease that is taken and each that comes back, by the database's own clock, the moment its row is written (triggers that
 * fire after it do so at the end of the statement).
 */
const AUDIT = [
  `create table audit (flow_key text not null, at timestamptz not null, delta int not null)`,
  `create function audit() returns trigger language plpgsql as $$
   begin
     if tg_op <> 'INSERT' and old.lease_owner is not null and (tg_op = 'DELETE' or new.lease_owner is null) then
       insert into audit values (old.flow_key, clock_timestamp(), -1);
     end if;
     if tg_op <> 'DELETE' and new.lease_owner is not null and (tg_op = 'INSERT' or old.lease_owner is null) then
       insert into audit values (new.flow_key, clock_timestamp(), 1);
     end if;
     return case when tg_op = 'DELETE' then old else new end;
   end $$`,
  `create trigger audit before insert or update of lease_owner or delete on workflow_task for each row execute function audit()`,
];

interface Audited {
  readonly key: string;
  readonly deltas: readonly number[];
  /** ms */
  readonly at: readonly number[];
}

/** What was wrong, key by key. */
function excesses({ key, deltas, at }: Audited, n: number): string[] {
  const { parallelism = Infinity, rate = Infinity } = limitsOf(n);
  const wrong: string[] = [];
  let running = 0;
  for (const delta of deltas) {
    running += delta;
    if (running > parallelism) wrong.push(`${key}: ${running} at a time, ${parallelism} allowed`);
  }
  if (running !== 0) wrong.push(`${key}: ${running} leases are left`);
  const starts = at.filter((_, i) => deltas[i] === 1);
  for (let i = rate; i < starts.length; i++) {
    const span = starts[i]! - starts[i - rate]!;
    if (span < 300) wrong.push(`${key}: ${rate + 1} starts in ${span} ms`);
  }
  return wrong;
}

let database: TestDatabase;
let client: Instance;
const children: Child[] = [];
const extra: Instance[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) await child.kill();
  for (const { app } of extra.splice(0)) await app.close();
  await client.app.close();
  await database.dispose();
});

async function trigger(keys: number, from: number, to: number): Promise<void> {
  const workflows = client.get(WorkflowClient);
  for (let at = from; at < to; at += 2000) {
    const items = Array.from({ length: Math.min(2000, to - at) }, (_, i) => ({
      payload: at + i,
      flowControl: limitsOf((at + i) % keys),
    }));
    await workflows.triggerMany(UnderFire, items);
  }
}

async function counts(): Promise<Record<string, number>> {
  const rows = await client.rows<{ status: string; n: number }>(
    'select status, count(*)::int as n from workflow_run group by status',
  );
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
}

async function check(keys: number): Promise<void> {
  const rows = await client.rows<Audited>(`
    select flow_key as key, array_agg(delta order by at) as deltas,
           array_agg((extract(epoch from at) * 1000)::float8 order by at) as at
    from audit where flow_key is not null group by flow_key`);
  expect(rows).toHaveLength(keys);
  expect(rows.flatMap((row) => excesses(row, Number(row.key.slice(4))))).toEqual([]);
}

describe('flow control under fire', () => {
  let program: Awaited<ReturnType<typeof bundle>>;
  beforeAll(async () => {
    program = await bundle('test/flow/children/worker.ts');
  });
  afterAll(() => program.remove());

  it('4 processes, 50 keys, 20,000 runs, two processes killed: no limit is ever exceeded, and all are done', async () => {
    const [keys, runs] = [50, 20_000];
    database = await createPostgres();
    client = await boot(database, { providers: [UnderFire], worker: false, transport: 'in-process' });
    for (const statement of AUDIT) await client.rows(statement);
    const started = Array.from({ length: 4 }, (_, i) =>
      Child.start(program.file, [database.url!, i === 3 ? 'http' : 'in-process']),
    );
    children.push(...started);
    // from now on: they may be up before half of the runs are there
    const up = Promise.all(started.map((child) => child.message()));
    await trigger(keys, 0, runs / 2);
    await up;
    const fed = trigger(keys, runs / 2, runs);
    const done = async (n: number): Promise<boolean> => ((await counts())['completed'] ?? 0) >= n;
    await until(() => done(runs / 10), counts, 120_000);
    await started[0]!.kill();
    await until(() => done(runs / 4), counts, 120_000);
    // a line that is paused and goes on while all this happens
    const { flowControl } = client.get(WorkflowClient);
    await flowControl.pause('key-4');
    const paused = await flowControl.info('key-4');
    expect(paused).toMatchObject({ paused: true, rate: 34, period: '300ms' });
    await started[3]!.kill();
    await fed;
    await until(() => done(runs / 2), counts, 120_000);
    expect((await flowControl.info('key-4'))!.waiting).toBeGreaterThan(0);
    await flowControl.resume('key-4');
    await until(() => done(runs), counts, 150_000);
    expect(await counts()).toEqual({ completed: runs });
    await check(keys);
  }, 240_000);

  it('the same in one process on PGlite, with fewer', async () => {
    const [keys, runs] = [12, 600];
    database = await createMemory();
    client = await boot(database, { providers: [UnderFire], transport: 'in-process' });
    for (const statement of AUDIT) await client.rows(statement);
    await trigger(keys, 0, runs);
    await until(async () => (await counts())['completed'] === runs, counts, 120_000);
    await check(keys);
  });
});
