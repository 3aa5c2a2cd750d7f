/** All runs that are wanted: of each workload the first run of every peer, then the second of every peer, and so on. */
import type { BenchCluster } from './cluster.js';
import { Environment, type Target } from './environment.js';
import { quiet } from './machine.js';
import type { Mode } from './peer.types.js';
import type { RunRecord } from './records.js';
import { WORKLOADS, type Overrides } from './workloads/index.js';

const RUNS = 3;
/** Others used more of the machine than that: the run is made again, so often. */
const MAX_FOREIGN_PCT = 10;
const RETRIES = 2;

export interface SuiteOptions {
  readonly work: readonly string[];
  readonly runs?: number;
  readonly set: Overrides;
  /** in s */
  readonly patience: number;
}

export async function measure(
  cluster: BenchCluster,
  targets: readonly Target[],
  options: SuiteOptions,
  say: (line: string) => void,
  keep: (record: RunRecord) => void,
): Promise<void> {
  for (const work of options.work) {
    const able = targets.filter(({ mode }) => mode.works?.includes(work) ?? true);
    // who does not wait for a quiet machine takes what comes
    const retries = new Map(able.map((target) => [target, options.patience > 0 ? RETRIES : 0]));
    const runs = options.runs ?? WORKLOADS[work]!.runs ?? RUNS;
    for (let run = 0; run < runs; run++) {
      for (const target of able) {
        for (;;) {
          const record = await measureOne(cluster, target, work, run, options);
          const left = retries.get(target)!;
          const again = (record.foreignPct ?? 0) > MAX_FOREIGN_PCT && left > 0;
          if (again) retries.set(target, left - 1);
          keep({ ...record, ...(again && { discarded: true }) });
          say(lineOf(record, again));
          if (!again) break;
        }
      }
    }
  }
}

async function measureOne(
  cluster: BenchCluster,
  target: Target,
  work: string,
  run: number,
  options: SuiteOptions,
): Promise<RunRecord> {
  const { peer } = target;
  const mode: Mode = { ...target.mode, ...target.mode.of?.[work] };
  const quietBefore = await quiet(options.patience * 1000);
  const env = new Environment(cluster, { ...target, mode });
  const about = {
    peer: peer.name,
    version: peer.version,
    mode: mode.name,
    settings: mode,
    work,
    run,
    at: new Date().toISOString(),
    quietBefore,
    ...(Object.keys(options.set).length > 0 && { set: options.set }),
  };
  try {
    await env.setup();
    return { ...about, ...(await WORKLOADS[work]!.run(env, options.set)) };
  } catch (error) {
    return { ...about, error: String((error as Error).stack ?? error).slice(0, 600) };
  } finally {
    await env.teardown().catch((error: unknown) => console.error(`teardown: ${String(error)}`));
  }
}

function lineOf(record: RunRecord, again: boolean): string {
  const { peer, mode, work, run, error, foreignPct = 0, complete } = record;
  const [column] = WORKLOADS[work]!.columns;
  const value = column!.path.split('.').reduce<unknown>((at, key) => (at as never)?.[key], record);
  const told = error ? `failed: ${error.split('\n')[0]}` : `${String(value)} ${column!.label}`;
  const notes = [
    complete === false && !error && 'not complete',
    foreignPct > 1 && `${foreignPct} % of the machine used by others`,
    again && 'made again',
  ].filter(Boolean);
  return `${work} ${run + 1}: ${peer} ${mode}: ${told}${notes.length ? ` (${notes.join(', ')})` : ''}`;
}
