import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { DataSource } from 'typeorm';
import { Workflow } from 'nestjs-workflow';
import { SignalChannel } from '../../lib/ports/index.js';
import { startApp } from '../client/support.js';
import { bundle, Child } from '../support/child.js';
import { Counter, TickedClock, withClock } from '../support/counter.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import type { State } from './children/sleeper.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Of the same name as that of the child: this process looks for what is due of it. */
@Workflow({ name: 'sleeper' })
class Sleeper {
  async run(): Promise<never> {
    throw new Error('It should sleep');
  }
}

const SLEEPERS = 100_000;
const WAKE = 10_000;
const MEGABYTE = 1024 * 1024;

describe(`${SLEEPERS} runs that sleep`, () => {
  let database: TestDatabase;
  let source: DataSource;
  let program: Awaited<ReturnType<typeof bundle>>;
  let child: Child;
  beforeAll(async () => {
    database = await createPostgres();
    source = await database.open();
    program = await bundle('test/scale/children/sleeper.ts');
    child = Child.start(program.file, [database.url!]);
    await child.message((said) => said === 'ready');
  });
  afterAll(async () => {
    await child?.kill();
    await source?.destroy();
    await database?.dispose();
    program?.remove();
  });

  async function ask(): Promise<State> {
    const said = child.message<State>((message) => typeof message === 'object');
    child.process.send('state');
    return said;
  }

  /** When it has looked so often for what is due: what it does at each look it has done then. */
  async function afterLooks(count: number): Promise<State> {
    await ask();
    for (let looks = 0; looks < count;) looks += (await ask()).statements.workflow_claim ?? 0;
    return ask();
  }

  /** Copies of a run that the engine itself has brought to sleep. */
  async function insertSleepers(count: number): Promise<void> {
    await source.query(
      `with copies as (
         insert into workflow_run (run_id, workflow, payload, trigger_id, created_at)
         select 'sleeper ' || n, r.workflow, r.payload, gen_random_uuid(), r.created_at
         from workflow_run r, generate_series(1, $1::int) n where r.run_id = 'first'
         returning id
       ),
       steps as (
         insert into workflow_step (execution, key, name, kind, state, attempts, asked_at, wake_at, dispatched, digest)
         select c.id, s.key, s.name, s.kind, s.state, s.attempts, s.asked_at, s.wake_at, s.dispatched, s.digest
         from copies c, workflow_step s join workflow_run r on r.id = s.execution where r.run_id = 'first'
       )
       insert into workflow_task (execution, workflow, kind, due_at, fence)
       select c.id, k.workflow, k.kind, k.due_at, k.fence
       from copies c, workflow_task k join workflow_run r on r.id = k.execution where r.run_id = 'first'`,
      [count],
    );
    await source.query('vacuum analyze');
  }

  const slept = async (): Promise<number> =>
    (
      (await source.query(`select count(*)::int as n from workflow_task where lease_owner is null`)) as {
        n: number;
      }[]
    )[0]!.n;

  it('cost an idle process no memory', async () => {
    await vi.waitFor(
      async () => {
        const tasks = await source.query(
          `select 1 from workflow_task where due_at > now() + interval '1 day' and lease_owner is null`,
        );
        expect(tasks).toHaveLength(1);
      },
      { timeout: 60_000, interval: 50 },
    );
    const before = await afterLooks(20);
    await insertSleepers(SLEEPERS);
    expect(await slept()).toBe(SLEEPERS + 1);
    const after = await afterLooks(20);
    // 50 bytes a run would be as much
    expect(after.heap - before.heap).toBeLessThan(5 * MEGABYTE);
  });

  it('cost it two statements a second', async () => {
    const clock = new TickedClock();
    const app = await startApp(database, { imports: [withClock(clock)], providers: [Sleeper] });
    const counter = new Counter(app.database, app.app.get(SignalChannel, { strict: false }));
    await counter.settled();
    await clock.pass(12_000, () => counter.settled());
    counter.take();
    await clock.pass(60_000, () => counter.settled());
    const sent = Object.values(counter.take()).reduce((sum, count) => sum + count, 0);
    await app.close();
    expect(sent).toBeLessThanOrEqual(120);
    expect(await slept()).toBe(SLEEPERS + 1);
  });

  it(`${WAKE} of them wake in the same second: each goes on once, and there are fewer statements than runs`, async () => {
    const before = await ask();
    await source.query(
      `with woken as (
         update workflow_step set wake_at = date_trunc('second', now())
         where execution in (select id from workflow_run where run_id like 'sleeper %' order by id limit $1) returning execution
       )
       update workflow_task set due_at = date_trunc('second', now()) where execution in (select execution from woken)`,
      [WAKE],
    );
    const active = async (): Promise<number> =>
      (
        (await source.query(`select count(*)::int as n from workflow_run where status = 'active'`)) as {
          n: number;
        }[]
      )[0]!.n;
    while ((await active()) > SLEEPERS + 1 - WAKE) await new Promise((resolve) => setTimeout(resolve, 100));
    const { heap, statements, woken, twice } = await ask();
    expect({ woken, twice }).toEqual({ woken: WAKE, twice: 0 });
    const [row] = await source.query(
      `select count(*)::int as runs, count(*) filter (where status = 'completed' and result = payload)::int as right
       from workflow_run where status <> 'active'`,
    );
    expect(row).toEqual({ runs: WAKE, right: WAKE });
    const [{ facts }] = await source.query(
      `select count(*)::int as facts from workflow_step where state = 'journaled'`,
    );
    expect(facts).toBe(2 * WAKE);
    expect(await slept()).toBe(SLEEPERS + 1 - WAKE);
    const sent = Object.values(statements).reduce((sum, count) => sum + count, 0);

    expect(sent).toBeLessThan(WAKE);
    // the test's own list of who has woken is in it
    expect(heap - before.heap).toBeLessThan(20 * MEGABYTE);
  });
});
