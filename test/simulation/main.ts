import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { add, nothing, simulateBatch, type Batch, type BatchOrder } from './batch.js';
import { lineOf } from './check/history.js';

const USAGE = 'npm run simulate -- [--seed N] [--runs M] [--jobs J] [--json] [--verbose]';
/** Lines of history shown before a violation. */
const LINES = 60;

function options(): { seed: number; runs: number; jobs: number; json: boolean; verbose: boolean } {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      runs: { type: 'string', default: '10000' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      json: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'seed' | 'runs' | 'jobs'): number => {
    const value = Number(values[name]);
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw new TypeError(`--${name} needs a whole number`);
  };
  return { ...values, seed: whole('seed'), runs: whole('runs'), jobs: Math.max(1, whole('jobs')) };
}

async function inThread(order: BatchOrder): Promise<Batch> {
  const thread = new Worker(new URL('./thread.js', import.meta.url), { workerData: order });
  const [batch] = (await once(thread, 'message')) as [Batch];
  return batch;
}

function tell({ seed, violations, history }: Batch['failed'][number], whole: boolean): void {
  console.log(`\nseed ${seed}: ${violations.length} violations`);
  for (const { rule, what, at } of violations.slice(0, 10)) console.log(`  ${rule}: ${what} (entry ${at})`);
  const at = violations[0]!.at;
  const from = whole ? 0 : Math.max(0, at - LINES);
  for (const [i, entry] of history.slice(from, whole ? undefined : at + 5).entries())
    console.log(`${from + i === at ? '>' : ' '} ${lineOf(entry).slice(0, whole ? undefined : 240)}`);
  console.log(`repeat it: npm run simulate -- --seed ${seed} --runs 1`);
  console.log(`make it a test: add ${seed} to test/simulation/seeds.spec.ts`);
}

async function main(): Promise<void> {
  const { seed, runs, jobs: asked, json, verbose } = options();
  const started = performance.now();
  // a single run is one world; its history is shown by this very thread
  const jobs = runs === 1 ? 1 : asked;
  const orders = Array.from({ length: jobs }, (_, i) => ({
    first: seed + i,
    every: jobs,
    runs: Math.ceil(runs / jobs),
    keepHistory: !json,
  }));
  const show = verbose && !json && runs === 1;
  const batches =
    jobs === 1
      ? [
          await simulateBatch(orders[0]!, (world) => {
            if (show && world.violations.length === 0)
              for (const entry of world.history) console.log(lineOf(entry));
          }),
        ]
      : await Promise.all(orders.map(inThread));
  const sum = nothing();
  for (const batch of batches) add(sum, batch);
  const seconds = Math.round(performance.now() - started) / 1000;
  const runsPerMinute = Math.round((sum.runs / seconds) * 60);
  const virtualHours = Math.round(sum.virtualMs / 36_000) / 100;
  const { worlds, steps, events, lastSeed, faults, failed } = sum;
  if (json) {
    const short = failed.map(({ seed: which, violations }) => ({ seed: which, violations }));
    const counted = { seed, lastSeed, worlds, runs: sum.runs, steps, events, virtualHours, seconds };
    console.log(JSON.stringify({ ...counted, runsPerMinute, jobs, faults, failed: short }));
  } else {
    for (const one of failed) tell(one, verbose);
    console.log(
      `\n${sum.runs} runs in ${worlds} worlds (seeds ${seed} to ${lastSeed}), ${steps} steps executed, ` +
        `${virtualHours} h of virtual time in ${seconds} s on ${jobs} threads: ${runsPerMinute} runs a minute`,
    );
    for (const [kind, count] of Object.entries(faults).toSorted(([, a], [, b]) => b - a))
      console.log(`  ${kind}: ${count}`);
    const seeds = failed.map((one) => one.seed).join(', ');
    console.log(failed.length === 0 ? 'every promise was kept' : `${failed.length} seeds failed: ${seeds}`);
  }
  process.exitCode = failed.length === 0 ? 0 : 1;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n${USAGE}`);
  process.exitCode = 2;
}
