import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { startBenchCluster } from './cluster.js';
import { machine } from './machine.js';
import { HELP, readOptions, type BenchOptions } from './options.js';
import { ROOT } from './paths.js';
import { quickCheck } from './quick/quick.js';
import { merged, type RunRecord } from './records.js';
import { pageOf, pageWith, screenOf, type Results } from './report.js';
import { measure } from './suite.js';
import { targetsOf } from './targets.js';

// `npm run bench`
const args = process.argv.slice(2);
const options = read();
// the exit handlers take the server and the processes along
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
const say = (line: string): void => {
  const at = `${(performance.now() / 1000).toFixed(0).padStart(5)} s  `;
  (options.json || options.markdown ? console.error : console.log)(`${at}${line}`);
};
const resultsAt = (path: string): Results => JSON.parse(readFileSync(resolve(ROOT, path), 'utf8')) as Results;

if (options.from !== undefined) print(resultsAt(options.from));
else if (options.quick) process.exitCode = await quickCheck(options.json, say);
else print(await measured(options));
// whatever a peer has left open in this process
process.exit();

function read(): BenchOptions {
  try {
    const read = readOptions(args);
    if (read !== 'help') return read;
    console.log(HELP);
    process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

async function measured(wanted: BenchOptions): Promise<Results> {
  const { targets, skipped } = await targetsOf(wanted.peers, wanted.modes, say);
  for (const line of skipped) say(`left out: ${line}`);
  if (targets.length === 0) throw new Error('There is nothing to measure');
  const cluster = await startBenchCluster();
  say(`PostgreSQL ${cluster.about.version}, ${targets.length} targets, ${wanted.work.length} workloads`);
  const path = resolve(ROOT, wanted.out);
  const before = wanted.add && existsSync(path) ? resultsAt(path).records : [];
  const records: RunRecord[] = [];
  const results = (): Results => ({
    at: new Date().toISOString(),
    machine: machine(),
    postgres: cluster.about,
    skipped,
    records: merged(before, records),
  });
  // results that are added to are of several commands
  const origin = {
    command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    ...commitOf(),
  };
  mkdirSync(dirname(path), { recursive: true });
  await measure(cluster, targets, wanted, say, (record) => {
    records.push({ ...record, ...origin });
    // after each run: what was measured is there even when the rest is not waited for
    writeFileSync(path, `${JSON.stringify(results(), null, 1)}\n`);
  });
  await cluster.dispose();
  return results();
}

function print(results: Results): void {
  const { into } = options;
  if (into !== undefined) {
    const path = resolve(ROOT, into);
    writeFileSync(path, pageWith(readFileSync(path, 'utf8'), results));
    say(`${into} has the figures`);
  }
  if (options.json) console.log(JSON.stringify(results));
  else console.log(options.markdown ? pageOf(results) : screenOf(results));
}

function commitOf(): { commit?: string } {
  try {
    const git = (...given: string[]): string =>
      execFileSync('git', given, { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] })
        .toString()
        .trim();
    const isChanged = git('status', '--porcelain', '--', 'lib') !== '';
    return { commit: `${git('rev-parse', '--short', 'HEAD')}${isChanged ? ' and changes' : ''}` };
  } catch {
    return {};
  }
}
