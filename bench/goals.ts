/** What the project wants to reach, and whether it did. */
import { rowsOf, type RunRecord } from './records.js';
import { shown } from './shown.js';

interface Goal {
  readonly what: string;
  readonly of: Measured;
  readonly is: 'at least' | 'at most';
  /** a number, or so many times another measurement */
  readonly than: number | { readonly times: number; readonly of: Measured };
}

interface Measured {
  readonly peer?: string;
  readonly mode: string;
  readonly work: string;
  readonly path: string;
}

const at = (mode: string, work: string, path: string): Measured => ({ mode, work, path });
const least = (what: string, of: Measured, than: Goal['than']): Goal => ({ what, of, is: 'at least', than });
const most = (what: string, of: Measured, than: Goal['than']): Goal => ({ what, of, is: 'at most', than });

const OURS = 'nestjs-workflow';
const [IN, HTTP, APART] = ['in-process', 'http', 'in-process-client'];
const DBOS_TRIG: Measured = { peer: 'dbos', mode: 'default', work: 'trig', path: 'runsPerS' };

export const GOALS: readonly Goal[] = [
  least('steps/s in-process, saturated', at(IN, 'w1', 'stepsPerS'), 30_000),
  most('CPU ms of a run of 10 steps, in-process', at(IN, 'w1', 'per.cpuMs'), 0.6),
  most('commits of a run under load, in-process', at(IN, 'w1', 'per.writeTx'), 0.2),
  most('p50 of a lone run of 10 steps, in-process, ms', at(IN, 'w1lat', 'result.p50'), 5),
  most('its commits', at(IN, 'w1lat', 'per.writeTx'), 12),
  least('steps/s over HTTP, saturated', at(HTTP, 'w1', 'stepsPerS'), 4000),
  most('CPU ms of a run of 10 steps, over HTTP', at(HTTP, 'w1', 'per.cpuMs'), 5),
  most('commits of a run under load, over HTTP', at(HTTP, 'w1', 'per.writeTx'), 0.2),
  most('p50 of a lone run of 10 steps, over HTTP, ms', at(HTTP, 'w1lat', 'result.p50'), 12),
  most('its commits', at(HTTP, 'w1lat', 'per.writeTx'), 12),
  least('one-step runs/s of 100 callers', at(IN, 'trig', 'runsPerS'), { times: 20, of: DBOS_TRIG }),
  least('a burst drained by one process, runs/s', at(APART, 'w3', 'drainPerS'), 8000),
  least('a burst drained by two, runs/s', at(APART, 'w3x2', 'drainPerS'), {
    times: 1,
    of: at(APART, 'w3', 'drainPerS'),
  }),
  most('100 steps beside each other in-process, ms', at(IN, 'w2', 'result.p50'), 10),
  most('1,000 of them, ms', at(IN, 'w2k', 'result.p50'), { times: 10, of: at(IN, 'w2', 'result.p50') }),
  most('100 steps beside each other over HTTP, ms', at(HTTP, 'w2', 'result.p50'), 100),
  most('1,000 of them, ms', at(HTTP, 'w2k', 'result.p50'), { times: 10, of: at(HTTP, 'w2', 'result.p50') }),
  most('last 100 of 1,000 steps against the first, in-process', at(IN, 'w6', 'ratio'), 1.2),
  most('last 100 of 1,000 steps against the first, over HTTP', at(HTTP, 'w6', 'ratio'), 1.2),
  most('invoke to result, p50 in commits', at(IN, 'child', 'inCommits'), 5),
  most('event to resume, p50 ms', at(IN, 'w5', 'resume.p50'), 2),
  most('a timer of 3 s, late p50 ms', at(IN, 'w4p', 'late.p50'), 2),
  most('10,000 that wake after 10 s, late p50 ms', at(IN, 'w4', 'late.p50'), 150),
  most('the same, p99 ms', at(IN, 'w4', 'late.p99'), 500),
  least('runs asleep', at(IN, 'w7', 'asleep'), 100_000),
  most('their memory, MiB', at(IN, 'w7', 'rssMore'), 30),
  most('statements/s meanwhile', at(IN, 'w7', 'idle.statementsPerS'), 2),
  most('CPU % of the process meanwhile', at(IN, 'w7', 'idle.workerCpuPct'), 1),
  most('its restart, s', at(IN, 'w7', 'restart.bootS'), 1),
  least('throughput kept with 1,000,000 runs in the tables', at(IN, 'history', 'kept'), 0.9),
  most('trigger p99 at twice the capacity, ms', at(IN, 'overload', 'trigger.p99'), 50),
  most('runs lost there', at(IN, 'overload', 'lost'), 0),
  least('steps/s on PGlite', at('pglite', 'pglite', 'stepsPerS'), 1500),
];

/** Rows of those of which both sides were measured: what, measured, goal, whether it was reached. */
export function goalRowsOf(records: readonly RunRecord[]): string[][] {
  const valueOf = ({ peer = OURS, mode, work, path }: Measured): number | undefined =>
    rowsOf(records, work)
      .find((row) => row.peer === peer && row.mode === mode)
      ?.value(path);
  return GOALS.flatMap(({ what, of, is, than }) => {
    const value = valueOf(of);
    const other = typeof than === 'number' ? 1 : valueOf(than.of);
    if (value === undefined || other === undefined) return [];
    const bound = typeof than === 'number' ? than : than.times * other;
    const isReached = is === 'at least' ? value >= bound : value <= bound;
    const sign = is === 'at least' ? '≥' : '≤';
    return [[what, shown(value), `${sign} ${shown(bound)}`, isReached ? 'yes' : 'no']];
  });
}
