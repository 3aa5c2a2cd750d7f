/** What the quick benchmark does, and what it counts of it. */
import type { Environment } from '../environment.js';
import type { Overrides } from '../workloads/index.js';
import { audit, WARM } from './audit.js';
import * as bounds from './bounds.js';
import { atMost, exactly, type Check } from './check.js';

type Counted = Readonly<Record<string, unknown>> & { readonly per?: Readonly<Record<string, unknown>> };

export interface Scenario {
  readonly name: string;
  readonly mode: string;
  readonly work: string;
  readonly set: Overrides;
  /** no beat and no poll falls into what is counted */
  readonly isQuiet: boolean;
  checks(of: string, counted: Counted, env: Environment): Check[] | Promise<Check[]>;
}

const scenario = (
  name: string,
  mode: string,
  work: string,
  set: Overrides,
  checks: Scenario['checks'],
): Scenario => ({ name, mode, work, set, isQuiet: true, checks });

const [LONE, LOADED, FANS, ROW, HTTP_LOADED, HTTP_ROW, TRIGGERED, BURST] = [
  20, 2000, 10, 1000, 500, 300, 3000, 2000,
];

const lone = (mode: string, statements: number): Scenario =>
  scenario(`lone runs, ${mode}`, mode, 'w1lat', { n: LONE }, async (of, { per }, env) => [
    atMost(of, 'commits of a run', per?.writeTx, bounds.LONE_COMMITS),
    atMost(of, 'statements of a run', per?.statements, statements),
    ...(await audit(of, env, { runs: WARM.runs + LONE, steps: WARM.steps + 10 * LONE })),
  ]);

const loaded = (mode: string, n: number, commits: number): Scenario =>
  scenario(`saturated, ${mode}`, mode, 'w1', { n }, async (of, { per }, env) => [
    atMost(of, 'commits of a run', per?.writeTx, commits),
    ...(await audit(of, env, { runs: WARM.runs + n, steps: WARM.steps + 10 * n })),
  ]);

const row = (mode: string, n: number, statements: number): Scenario =>
  scenario(`${n} steps in a row, ${mode}`, mode, 'w6', { n }, async (of, { per }, env) => [
    atMost(of, 'statements a step', per?.statements, statements),
    atMost(of, 'commits a step', per?.writeTx, bounds.ROW_STATEMENTS),
    ...(await audit(of, env, { runs: WARM.runs + 1, steps: WARM.steps + n })),
  ]);

const burst = (work: string): Scenario =>
  scenario(`burst, ${work}`, 'in-process-client', work, { n: BURST }, async (of, counted, env) => [
    exactly(of, 'drained', counted.got, BURST),
    ...(await audit(of, env, { runs: BURST, steps: BURST })),
  ]);

export const SCENARIOS: readonly Scenario[] = [
  lone('in-process', bounds.LONE_STATEMENTS),
  loaded('in-process', LOADED, bounds.LOAD_COMMITS),
  scenario(
    'one-step runs of 100 callers',
    'in-process',
    'trig',
    { n: TRIGGERED },
    async (of, { per }, env) => [
      atMost(of, 'commits of a run', per?.writeTx, bounds.TRIGGERED_COMMITS),
      ...(await audit(of, env, { runs: WARM.runs + TRIGGERED, steps: WARM.steps + TRIGGERED })),
    ],
  ),
  scenario('fan-out of 100', 'in-process', 'w2', { n: FANS }, async (of, { per }, env) => [
    atMost(of, 'statements of a run', per?.statements, bounds.FAN_STATEMENTS),
    ...(await audit(of, env, { runs: WARM.runs + FANS, steps: WARM.steps + 100 * FANS })),
  ]),
  row('in-process', ROW, bounds.ROW_STATEMENTS),
  burst('w3'),
  burst('w3x2'),
  lone('http', bounds.LONE_HTTP_STATEMENTS),
  loaded('http', HTTP_LOADED, bounds.LOAD_HTTP_COMMITS),
  row('http', HTTP_ROW, bounds.ROW_HTTP_STATEMENTS),
  {
    ...scenario(
      '1,000 runs asleep',
      'in-process',
      'w4i',
      { n: 1000, window: 10_000, settle: 1000, idle: 0, restart: 0 },
      (of, counted) => [
        exactly(of, 'runs asleep', counted.asleep, 1000),
        atMost(
          of,
          'statements a second',
          (counted.idle as { statementsPerS?: unknown }).statementsPerS,
          bounds.IDLE_STATEMENTS,
        ),
      ],
    ),
    isQuiet: false,
  },
];
