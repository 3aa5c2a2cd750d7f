/** One run at a time on an idle system: what one of them takes. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Environment } from '../environment.js';
import type { Timed } from '../messages.js';
import { percentiles } from '../statistics.js';
import { COST, lower, plain, type Workload } from './workload.types.js';

/** Something of the last run, such as its NOTIFY, may still be under way. */
const AFTERMATH_MS = 50;

async function oneByOne(env: Environment, wf: string, n: number, input: object, capMs: number) {
  await env.begun();
  await env.workers[0]!.ask('keep', { done: true });
  await env.begin();
  const all = await env.client.ask('oneByOne', {
    wf,
    input: { ...input },
    n,
    prefix: 'l-',
    budgetMs: capMs,
  });
  await pause(AFTERMATH_MS);
  const usage = await env.end(all.length);
  const { doneAt } = await env.workers[0]!.ask('marks', {});
  const ms = (of: (one: Timed) => number): number[] => all.map((one) => (of(one) - one.t0) / 1e6);
  return {
    n: all.length,
    complete: all.length === n,
    result: percentiles(ms(({ t2 }) => t2)),
    body: percentiles(ms(({ id }) => doneAt[id] ?? NaN).filter(Number.isFinite)),
    ack: percentiles(ms(({ t1 }) => t1)),
    ...usage,
  };
}

const columns = [
  lower('result p50 ms', 'result.p50'),
  plain('p99', 'result.p99'),
  plain('body p50', 'body.p50'),
  plain('start p50', 'ack.p50'),
  ...COST,
];

const fan = (steps: number, runs: number): Workload => ({
  title: `${steps.toLocaleString('en')} steps beside each other, one run at a time`,
  about: `A run of \`Promise.all\` over ${steps} steps, from its start to its result.`,
  columns,
  run: (env, settings) => oneByOne(env, 'fan', settings.n ?? runs, { n: steps }, settings.cap ?? 60_000),
});

export const w1lat: Workload = {
  title: 'A run of 10 steps, one at a time',
  about: 'From its start to its result, as the own handle of the engine gives it.',
  columns,
  run: (env, settings) =>
    oneByOne(env, 'seq', settings.n ?? 200, { n: settings.steps ?? 10 }, settings.cap ?? 60_000),
};
export const w2 = fan(100, 20);
export const w2k = fan(1000, 5);
