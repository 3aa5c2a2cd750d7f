import type { ChaosOptions } from './options.js';
import type { Verdict } from './judge.js';

/** The object that `--json` prints. */
export interface Report {
  readonly runs: number;
  readonly completed: number;
  readonly kills: number;
  readonly restarts: number;
  readonly lost: number;
  readonly doubled: number;
  readonly reexecuted: number;
  readonly maxRecoveryMs: number;
  /** besides what is promised: what else was done, and how it is repeated */
  readonly cuts: number;
  readonly pauses: number;
  readonly crashes: number;
  readonly executed: number;
  readonly elapsedMs: number;
  readonly transport: string;
  readonly seed: number;
}

export interface Deeds {
  readonly kills: number;
  readonly restarts: number;
  readonly cuts: number;
  readonly pauses: number;
  readonly crashes: readonly string[];
}

export function reportOf(
  { transport, seed }: ChaosOptions,
  runs: number,
  verdict: Verdict,
  deeds: Deeds,
  elapsedMs: number,
): Report {
  const count = (kind: 'lost' | 'doubled'): number =>
    verdict.problems.filter((problem) => problem.kind === kind).length;
  return {
    runs,
    completed: verdict.completed,
    kills: deeds.kills,
    restarts: deeds.restarts,
    lost: count('lost'),
    doubled: count('doubled'),
    reexecuted: verdict.reexecuted,
    maxRecoveryMs: verdict.maxRecoveryMs,
    cuts: deeds.cuts,
    pauses: deeds.pauses,
    crashes: deeds.crashes.length,
    executed: verdict.executed,
    elapsedMs,
    transport,
    seed,
  };
}

export const isGood = ({ runs, completed, lost, doubled, crashes }: Report, wanted: number): boolean =>
  runs === wanted && completed === runs && lost === 0 && doubled === 0 && crashes === 0;

const MEANINGS: readonly (readonly [keyof Report, string])[] = [
  ['runs', 'runs were accepted'],
  ['completed', 'of them ended as they must'],
  ['kills', 'processes were killed'],
  ['pauses', 'processes were paused for longer than the lease timeout'],
  ['cuts', 'connections were cut'],
  ['restarts', 'times PostgreSQL was restarted'],
  ['executed', 'executions of steps'],
  ['reexecuted', 'of them repeated an attempt'],
  ['maxRecoveryMs', 'ms at most from a kill to the next progress of what was held'],
  ['lost', 'lost'],
  ['doubled', 'doubled'],
  ['crashes', 'processes ended by themselves'],
];

export const tableOf = (report: Report): string =>
  MEANINGS.map(([field, meaning]) => `${String(report[field]).padStart(8)}  ${meaning}`).join('\n');
