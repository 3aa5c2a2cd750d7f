/** Throughput with years of runs in the tables, against the same with none. */
import type pg from 'pg';
import type { Environment } from '../environment.js';
import { median, round } from '../statistics.js';
import { saturate } from './saturated.js';
import { higher, plain, type Workload } from './workload.types.js';

const FINISHED = 1_000_000;
const WAITING = 100_000;
const STEPS = 10;
const ROUNDS = 3;

/** Names of the columns that are copied as they are. */
async function columnsOf(client: pg.Client, table: string, but: readonly string[]): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped
       and attname <> all($2)`,
    [table, but],
  );
  return rows.map(({ name }) => `"${name}"`).join(', ');
}

/** Copies of one run, so that it holds whatever the tables look like: each row of it, under new ids. */
async function copyRun(client: pg.Client, like: string, prefix: string, n: number): Promise<void> {
  const run = await columnsOf(client, 'workflow_run', ['id', 'run_id', 'trigger_id']);
  await client.query(
    `insert into workflow_run (run_id, trigger_id, ${run})
     select $2 || g, gen_random_uuid(), ${run} from workflow_run, generate_series(1, $3::int) g where run_id = $1`,
    [like, prefix, n],
  );
  const copies = `(select id from workflow_run where run_id like '${prefix}%') as copy`;
  const template = `(select id from workflow_run where run_id = $1)`;
  const step = await columnsOf(client, 'workflow_step', ['execution', 'event']);
  await client.query(
    `insert into workflow_step (execution, event, ${step})
     select copy.id, event || copy.id, ${step} from workflow_step, ${copies} where execution = ${template}`,
    [like],
  );
  const task = await columnsOf(client, 'workflow_task', ['id', 'execution', 'lease_owner']);
  await client.query(
    `insert into workflow_task (execution, lease_owner, ${task})
     select copy.id, null, ${task} from workflow_task, ${copies} where execution = ${template}`,
    [like],
  );
}

async function seed(env: Environment, finished: number, waiting: number): Promise<void> {
  const begin = { n: 1, conc: 1 };
  const { done, waiting: before } = env;
  await env.client.ask('startMany', { ...begin, wf: 'seq', input: { n: STEPS }, prefix: 'finished-' });
  await env.client.ask('startMany', { ...begin, wf: 'waiter', input: {}, prefix: 'waiting-' });
  if (!(await env.until(() => env.done > done && env.waiting > before, 30_000)))
    throw new Error('The runs to copy did not come to their end and to their wait');
  const { client } = env.database;
  const isAtRest = async (): Promise<boolean> =>
    (await client.query('select from workflow_step where event is not null')).rows.length > 0;
  if (!(await env.until(isAtRest, 10_000))) throw new Error('The run that waits is not in the journal');
  // it gives its leases back
  await env.stopWorkers();
  await copyRun(client, 'finished-0', 'h-', finished);
  await copyRun(client, 'waiting-0', 'v-', waiting);
  await client.query('vacuum (analyze) workflow_run');
  await client.query('vacuum (analyze) workflow_step');
  await client.query('vacuum (analyze) workflow_task');
}

async function rowsOf(client: pg.Client) {
  const { rows } = await client.query<{ runs: string; steps: string; tasks: string; size: string }>(
    `select (select count(*) from workflow_run) as runs, (select count(*) from workflow_step) as steps,
       (select count(*) from workflow_task) as tasks, pg_database_size(current_database()) as size`,
  );
  const { runs, steps, tasks, size } = rows[0]!;
  return {
    runs: Number(runs),
    steps: Number(steps),
    tasks: Number(tasks),
    mib: round(Number(size) / 2 ** 20),
  };
}

export const history: Workload = {
  title: 'With 1,000,000 finished and 100,000 waiting runs in the tables',
  about:
    'Runs of 10 steps, saturated: with empty tables, then in the same database with copies of a finished run of 10 steps and of a run that waits for an event; medians of three each.',
  runs: 1,
  columns: [
    higher('kept', 'kept'),
    plain('steps/s empty', 'empty.stepsPerS'),
    plain('steps/s full', 'full.stepsPerS'),
    plain('CPU ms empty', 'empty.cpuMs'),
    plain('CPU ms full', 'full.cpuMs'),
    plain('runs', 'rows.runs'),
    plain('journal rows', 'rows.steps'),
    plain('waiting', 'rows.tasks'),
    plain('MiB', 'rows.mib'),
  ],
  async run(env, settings) {
    // three rounds with empty tables must not fill them
    const n = settings.n ?? Math.ceil((env.mode.w1n ?? 2000) / 4);
    await env.begun();
    const rounds = async (prefix: string) => {
      const all = [];
      for (let i = 0; i < (settings.rounds ?? ROUNDS); i++)
        all.push(await saturate(env, { n, steps: STEPS, prefix: `${prefix}${i}-` }));
      const per = all.map((one) => (one.per as Record<string, number>).cpuMs);
      return {
        stepsPerS: median(all.map(({ stepsPerS }) => stepsPerS)),
        cpuMs: median(per),
        complete: all.every(({ complete }) => complete),
        each: all.map(({ stepsPerS }) => stepsPerS),
        foreign: all.map(({ foreignPct }) => foreignPct),
      };
    };
    const empty = await rounds('e-');
    await seed(env, settings.finished ?? FINISHED, settings.waiting ?? WAITING);
    const rows = await rowsOf(env.database.client);
    const { rows: last } = await env.database.client.query<{ id: string }>(
      'select max(id) as id from workflow_run',
    );
    env.countAfter(last[0]!.id);
    await env.addWorker();
    await env.warm();
    const full = await rounds('f-');
    return {
      n,
      complete: empty.complete && full.complete,
      kept: round((full.stepsPerS ?? NaN) / (empty.stepsPerS ?? NaN)),
      empty,
      full,
      rows,
      foreignPct: Math.max(...[...empty.foreign, ...full.foreign].map(Number)),
    };
  },
};
