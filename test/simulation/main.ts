import { cpus } from 'node:os';
import { lineOf } from './check/history.js';
import { simulate, type Simulated } from './simulate.js';

interface Options {
  seed: number;
  runs: number;
  json: boolean;
  verbose: boolean;
}

const USAGE = 'npm run simulate -- [--seed N] [--runs M] [--json] [--verbose]';
const LINES = 60;

function parse(args: readonly string[]): Options {
  const options: Options = { seed: 1, runs: 10_000, json: false, verbose: false };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === '--json') options.json = true;
    else if (arg === '--verbose') options.verbose = true;
    else if (arg === '--seed' || arg === '--runs') {
      const value = Number(args[++i]);
      if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${arg} needs a whole number. ${USAGE}`);
      options[arg === '--seed' ? 'seed' : 'runs'] = value;
    } else throw new Error(`${arg} is unknown. ${USAGE}`);
  }
  return options;
}

function report(world: Simulated, verbose: boolean): void {
  console.log(`\nseed ${world.seed}: ${world.violations.length} violations`);
  for (const { rule, what, at } of world.violations.slice(0, 10))
    console.log(`  ${rule}: ${what} (entry ${at})`);
  const at = world.violations[0]!.at;
  const until = verbose ? world.history.length : at + 5;
  const from = verbose ? 0 : Math.max(0, at - LINES);
  for (const [i, entry] of world.history.slice(from, until).entries())
    console.log(`${from + i === at ? '>' : ' '} ${lineOf(entry).slice(0, verbose ? undefined : 240)}`);
  console.log(`repeat it: npm run simulate -- --seed ${world.seed} --runs 1`);
  console.log(`make it a test: add ${world.seed} to test/simulation/seeds.spec.ts`);
}

async function main(): Promise<void> {
  const options = parse(process.argv.slice(2));
  const started = performance.now();
  const faults: Record<string, number> = {};
  const failed: Simulated[] = [];
  let [runs, worlds, steps, events, virtualMs] = [0, 0, 0, 0, 0];
  for (let seed = options.seed; runs < options.runs; seed++) {
    const world = await simulate(seed);
    worlds++;
    runs += world.runs;
    steps += world.executed;
    events += world.events;
    virtualMs += world.virtualMs;
    for (const [kind, count] of world.faults) faults[kind] = (faults[kind] ?? 0) + count;
    if (world.violations.length === 0) {
      if (options.verbose && !options.json && options.runs === 1)
        for (const entry of world.history) console.log(lineOf(entry));
      continue;
    }
    failed.push({ ...world, history: options.json ? [] : world.history });
    if (!options.json) report(world, options.verbose);
    if (failed.length >= 5) break;
  }
  const seconds = (performance.now() - started) / 1000;
  const perMinute = Math.round((runs / seconds) * 60);
  const summary = {
    seed: options.seed,
    worlds,
    runs,
    steps,
    events,
    virtualHours: Math.round(virtualMs / 36_000) / 100,
    seconds: Math.round(seconds * 100) / 100,
    runsPerMinute: perMinute,
    cpus: cpus().length,
    faults,
    failed: failed.map(({ seed, violations }) => ({ seed, violations })),
  };
  if (options.json) console.log(JSON.stringify(summary));
  else {
    console.log(
      `\n${runs} runs in ${worlds} worlds (seeds ${options.seed} to ${options.seed + worlds - 1}), ${steps} steps executed, ` +
        `${summary.virtualHours} h of virtual time in ${summary.seconds} s: ${perMinute} runs a minute`,
    );
    for (const [kind, count] of Object.entries(faults).toSorted(([, a], [, b]) => b - a))
      console.log(`  ${kind}: ${count}`);
    console.log(
      failed.length === 0
        ? 'every promise was kept'
        : `${failed.length} seeds failed: ${failed.map(({ seed }) => seed).join(', ')}`,
    );
  }
  process.exitCode = failed.length === 0 ? 0 : 1;
}

await main();
