/** `--quick`: every scenario once, on a PostgreSQL of its own. Exit code 1 when a count is not right. */
import { execPath } from 'node:process';
import Table from 'cli-table3';
import { embeddedPrograms } from '../../test/support/postgres-cluster.js';
import { startBenchCluster, type BenchCluster } from '../cluster.js';
import { Environment, type Target } from '../environment.js';
import { valueAt } from '../records.js';
import { shown } from '../shown.js';
import { targetsOf } from '../targets.js';
import { WORKLOADS } from '../workloads/index.js';
import { boundText, exactly, isRight, type Check } from './check.js';
import { SCENARIOS, type Scenario } from './scenarios.js';

/** Of the same PostgreSQL on every machine, whose own housekeeping does not write among what is counted. */
const SETTINGS = { autovacuum: 'off' };
const QUIET = { pollInterval: '1h', heartbeat: '1h', leaseTimeout: '3h' };
/** The floor, whose times are told beside ours. */
const FLOOR = [
  ['named', 'w1lat', { n: 50 }],
  ['batched', 'w1', { n: 4000 }],
] as const;

interface Told {
  readonly name: string;
  readonly value: string;
  readonly unit: string;
}

export async function quickCheck(json: boolean, say: (line: string) => void): Promise<number> {
  const { targets } = await targetsOf(['nestjs-workflow', 'rawpg'], ALL_MODES, say);
  const cluster = await startBenchCluster(await embeddedPrograms(), SETTINGS);
  say(
    `PostgreSQL ${cluster.about.version}${cluster.about.countsStatements ? '' : ', which cannot count statements'}`,
  );
  const checks: Check[] = [];
  const told: Told[] = [];
  try {
    for (const scenario of SCENARIOS) {
      const found = await checksOf(
        cluster,
        targetOf(targets, 'nestjs-workflow', scenario.mode),
        scenario,
        told,
      );
      checks.push(...found.filter(({ what }) => cluster.about.countsStatements || !/statements/.test(what)));
      say(`${scenario.name}: ${found.every(isRight) ? 'right' : 'NOT RIGHT'}`);
    }
    for (const [mode, work, set] of FLOOR) {
      const env = new Environment(cluster, targetOf(targets, 'rawpg', mode));
      await using(env, async () => {
        const counted = await WORKLOADS[work]!.run(env, set);
        told.push(toldOf(`floor, no engine: rawpg ${mode}`, work, counted));
      });
    }
  } finally {
    await cluster.dispose();
  }
  const wrong = checks.filter((check) => !isRight(check));
  if (json) console.log(JSON.stringify({ checks, told, wrong }));
  else
    console.log(
      `\n${tables(checks, told)}\n\n${wrong.length === 0 ? 'All counts are right.' : `${wrong.length} counts are not right.`}`,
    );
  return wrong.length === 0 ? 0 : 1;
}

const ALL_MODES = [...new Set([...SCENARIOS.map(({ mode }) => mode), ...FLOOR.map(([mode]) => mode)])];

function targetOf(targets: readonly Target[], peer: string, mode: string): Target {
  const found = targets.find((target) => target.peer.name === peer && target.mode.name === mode);
  if (!found) throw new Error(`There is no mode ${mode} of ${peer}`);
  return found;
}

async function checksOf(
  cluster: BenchCluster,
  target: Target,
  scenario: Scenario,
  told: Told[],
): Promise<Check[]> {
  const { name, work, set, isQuiet } = scenario;
  const mode = { ...target.mode, audit: true, ...(isQuiet && { beats: QUIET }) };
  const env = new Environment(cluster, { ...target, mode, node: execPath });
  try {
    return await using(env, async () => {
      const counted = await WORKLOADS[work]!.run(env, set);
      told.push(toldOf(name, work, counted));
      return [
        exactly(name, 'complete', counted.complete === false ? 0 : 1, 1),
        ...(await scenario.checks(name, counted, env)),
      ];
    });
  } catch (error) {
    console.error(error);
    return [exactly(name, 'failures', 1, 0)];
  }
}

async function using<T>(env: Environment, work: () => Promise<T>): Promise<T> {
  try {
    await env.setup();
    return await work();
  } finally {
    await env.teardown();
  }
}

function toldOf(name: string, work: string, counted: Record<string, unknown>): Told {
  const { path, label } = WORKLOADS[work]!.columns[0]!;
  const [value, cpu] = [valueAt(counted, path), valueAt(counted, 'per.cpuMs')];
  const unit = typeof cpu === 'number' ? `${label}, ${shown(cpu)} ms of CPU` : label;
  return { name, value: shown(typeof value === 'number' ? value : undefined), unit };
}

function tables(checks: readonly Check[], told: readonly Told[]): string {
  const style = { head: [], border: [], compact: true };
  const counts = new Table({ head: ['scenario', 'counted', 'is', 'must be', ''], style });
  for (const check of checks) {
    const right = isRight(check) ? '' : 'NOT RIGHT';
    counts.push([check.of, check.what, shown(check.counted), boundText(check), right]);
  }
  const times = new Table({ head: ['only told', '', ''], style });
  for (const { name, value, unit } of told) times.push([name, value, unit]);
  return `${counts.toString()}\n\n${times.toString()}`;
}
