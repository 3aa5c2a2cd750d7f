/** Many runs that sleep for an hour: what they cost while nothing happens, and when their process is replaced. */
import { setTimeout as pause } from 'node:timers/promises';
import { cpuOf, msSince, now, rssOf } from '../machine.js';
import { round } from '../statistics.js';
import { lower, plain, type Workload } from './workload.types.js';

const HOUR_MS = 3_600_000;
/**
 * What starting so many has left in the young and the old generation is garbage, and V8 gives it back to the system only when a process
 * has been idle for a while: seen 50 s after the last start, with `--trace-gc` (`Mark-Compact (reduce)`). An idle process is one after that.
 */
const IDLE_MS = 90_000;
/** In a shorter one it is chance whether four or five beats of 3 s fall. */
const WINDOW_MS = 60_000;

const asleep = (runs: number): Workload => ({
  title: `${runs.toLocaleString('en')} runs asleep`,
  about:
    'Memory of the worker before, 4 s after the last start, and once it has been idle for 90 s (by then V8 has given back what was garbage); what it does in the minute after that; and a restart of the worker.',
  runs: 1,
  columns: [
    lower('MiB more', 'rssMore'),
    plain('4 s after the start', 'rssMoreAtOnce'),
    plain('MiB before', 'rssBefore'),
    plain('MiB restarted', 'restart.rss'),
    plain('asleep', 'asleep'),
    plain('started/s', 'startPerS'),
    plain('statements/s idle', 'idle.statementsPerS'),
    plain('worker CPU %', 'idle.workerCpuPct'),
    plain('PG CPU %', 'idle.pgCpuPct'),
    plain('restart s', 'restart.bootS'),
    plain('CPU s in 12 s after', 'restart.cpuS'),
    plain('database MiB', 'databaseMib'),
  ],
  async run(env, settings) {
    const n = settings.n ?? runs;
    const windowMs = settings.window ?? WINDOW_MS;
    await env.begun();
    const rssBefore = rssOf(env.workers[0]!.pid);
    const waiting = env.waiting;
    const many = {
      wf: 'sleeper',
      input: { ms: HOUR_MS },
      n,
      prefix: 'z-',
      budgetMs: settings.cap ?? 150_000,
    };
    const { t0, t1, started } = await env.client.ask('startMany', many);
    const isAll = await env.until(() => env.waiting - waiting >= started, settings.waitCap ?? 60_000);
    const asleepNow = isAll ? started : env.waiting - waiting;
    await pause(settings.settle ?? 4000);
    const rssAtOnce = rssOf(env.workers[0]!.pid);
    await pause(settings.idle ?? IDLE_MS);
    await env.begin();
    await pause(windowMs);
    const rssAsleep = rssOf(env.workers[0]!.pid);
    const { per, cpu, foreignPct } = await env.end(1);
    const { rows } = await env.database.client.query<{ size: string }>(
      'select pg_database_size(current_database()) as size',
    );
    const more = (rss: number | undefined): number => round((rss ?? NaN) - (rssBefore ?? NaN));
    const percent = (seconds: number): number => round((100 * seconds) / cpu.wallS);

    await env.stopWorkers();
    const boot = now();
    const worker = await env.addWorker();
    const bootS = round(msSince(boot) / 1000);
    await pause(settings.restart ?? 12_000);
    return {
      n,
      started,
      asleep: asleepNow,
      complete: asleepNow === n,
      startPerS: round(started / ((t1 - t0) / 1e9)),
      rssBefore,
      rssAsleep,
      rssMore: more(rssAsleep),
      rssMoreAtOnce: more(rssAtOnce),
      serverRss: env.serverPids.map(rssOf),
      databaseMib: round(Number(rows[0]!.size) / 2 ** 20),
      idle: {
        statementsPerS: round((per.statements ?? NaN) / (windowMs / 1000)),
        writeTxPerS: round((per.writeTx ?? NaN) / (windowMs / 1000)),
        workerCpuPct: percent(cpu.worker),
        pgCpuPct: percent(cpu.pg),
        serverCpuPct: percent(cpu.server),
      },
      foreignPct,
      restart: { bootS, rss: rssOf(worker.pid), cpuS: round(cpuOf(worker.pid)) },
    };
  },
});

export const w4i = asleep(10_000);
export const w7 = asleep(100_000);
