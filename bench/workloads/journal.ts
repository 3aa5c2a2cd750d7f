/** One run of many steps, one after another: does its last one cost more than its first? */
import { now } from '../machine.js';
import { round } from '../statistics.js';
import { lower, plain, type Workload } from './workload.types.js';

const journal = (steps: number): Workload => ({
  title: `One run of ${steps.toLocaleString('en')} steps`,
  about: 'One after another on an idle system; the last 100 against the first 100.',
  columns: [
    lower('total ms', 'totalMs'),
    plain('first 100', 'first100Ms'),
    plain('last 100', 'last100Ms'),
    plain('last/first', 'ratio'),
    plain('ms a step', 'perStepMs'),
    plain('CPU ms a step', 'per.cpuMs'),
    plain('statements a step', 'per.statements'),
    plain('commits a step', 'per.writeTx'),
  ],
  async run(env, settings) {
    const n = settings.n ?? steps;
    await env.begun();
    await env.workers[0]!.ask('keep', { steps: true });
    const [done, durable] = [env.done, await env.durable()];
    await env.begin();
    const many = { wf: 'seq', input: { n, mark: true }, n: 1, prefix: 'g-', conc: 1 };
    const { t0 } = await env.client.ask('startMany', many);
    const complete = await env.untilDone(done + 1, durable === undefined ? undefined : durable + 1, 120_000);
    const totalMs = (now() - t0) / 1e6;
    const usage = await env.end(n);
    const { stepAt } = await env.workers[0]!.ask('marks', {});
    const between = (a: number, b: number): number => ((stepAt[b] ?? NaN) - (stepAt[a] ?? NaN)) / 1e6;
    const window = Math.min(100, n);
    const [first, last] = [between(0, window - 1), between(n - window, n - 1)];
    return {
      n,
      complete,
      totalMs: round(totalMs),
      perStepMs: round(totalMs / n),
      first100Ms: round(first),
      last100Ms: round(last),
      ratio: round(last / first),
      ...usage,
    };
  },
});

export const w6 = journal(1000);
export const journal100 = journal(100);
export const journal5000 = journal(5000);
