/** Runs that sleep: how late they wake. */
import { msSince, now } from '../machine.js';
import { percentiles, round } from '../statistics.js';
import { lower, plain, type Workload } from './workload.types.js';

const sleepers = (
  title: string,
  about: string,
  given: { n: number; ms: number; rate: number },
): Workload => ({
  title,
  about,
  columns: [
    lower('late p50 ms', 'late.p50'),
    plain('p99', 'late.p99'),
    plain('max', 'late.max'),
    plain('started in s', 'startS'),
    plain('CPU ms', 'per.cpuMs'),
    plain('statements', 'per.statements'),
    plain('commits', 'per.writeTx'),
  ],
  async run(env, settings) {
    const n = settings.n ?? given.n;
    const capMs = settings.cap ?? 100_000;
    await env.begun();
    await env.workers[0]!.ask('keep', {});
    const done = env.done;
    await env.begin();
    const { t0, t1, started } = await env.client.ask('startMany', {
      wf: 'sleeper',
      input: { ms: settings.ms ?? given.ms },
      n,
      prefix: 's-',
      rate: settings.rate ?? given.rate,
      budgetMs: 60_000,
    });
    const isAll = await env.until(() => env.done - done >= started, Math.max(1000, capMs - msSince(t0)));
    const totalS = (now() - t0) / 1e9;
    const usage = await env.end(started);
    const { late } = await env.workers[0]!.ask('marks', {});
    return {
      n,
      got: env.done - done,
      complete: isAll && started === n,
      startS: round((t1 - t0) / 1e9),
      totalS: round(totalS),
      late: percentiles(late),
      ...usage,
    };
  },
});

export const w4 = sleepers(
  '10,000 runs that sleep 10 s',
  'All started as fast as they are accepted; how much later than asked each goes on.',
  { n: 10_000, ms: 10_000, rate: 0 },
);
export const w4p = sleepers(
  'Timers of 3 s on an idle system',
  '100 runs, 20 of them started each second; how much later than asked each goes on.',
  { n: 100, ms: 3000, rate: 20 },
);
