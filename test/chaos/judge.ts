import type { Evidence, HistoryRow, StepExecution } from './evidence.js';
import { mustHaveRun } from './jobs.js';

export interface Problem {
  readonly kind: 'lost' | 'doubled';
  /** of the run, where it is known */
  readonly runId: string;
  readonly execution?: string;
  readonly what: string;
}

export interface Verdict {
  /** accepted runs that ended as they must */
  readonly completed: number;
  readonly problems: readonly Problem[];
  /** executions of a step attempt beyond the first */
  readonly reexecuted: number;
  readonly executed: number;
  readonly maxRecoveryMs: number;
}

const groupBy = <T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> => {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
};

const stepOf = ({ execution, key }: { execution: string; key: string }): string => `${execution} ${key}`;

/** What the promises say of it: no run lost, one outcome, no step journaled twice or executed once it was journaled. */
export function judge(evidence: Evidence): Verdict {
  const runOf = new Map(evidence.executions.map(({ execution, runId }) => [execution, runId]));
  const problems: Problem[] = [];
  const found = (kind: Problem['kind'], execution: string, what: string): void =>
    void problems.push({ kind, runId: runOf.get(execution) ?? '?', execution, what });
  const wrong = endsOf(evidence, problems);
  lostSteps(evidence, runOf, found);
  doubledSteps(evidence, found);
  doubledRuns(evidence, found);
  const attempts = groupBy(evidence.steps, (step) => `${stepOf(step)} ${step.attempt}`);
  return {
    completed: evidence.accepted.length - wrong,
    problems,
    reexecuted: evidence.steps.length - attempts.size,
    executed: evidence.steps.length,
    maxRecoveryMs: Math.round(Math.max(0, ...recoveries(evidence))),
  };
}

type Found = (kind: Problem['kind'], execution: string, what: string) => void;

/** Accepted runs that did not end, or ended wrong; and children that did not end. */
function endsOf({ accepted, executions }: Evidence, problems: Problem[]): number {
  let wrong = 0;
  for (const { runId, expected, found } of accepted) {
    const value = expected.status === 'completed' ? expected.result : expected.message;
    const got = found?.status === 'completed' ? found.result : found?.message;
    if (found?.status === expected.status && got === value) continue;
    wrong++;
    const is = found ? `${found.status} (${String(got)})` : 'unknown';
    problems.push({ kind: 'lost', runId, what: `is ${is}, must be ${expected.status} (${value})` });
  }
  const known = new Set(accepted.map(({ runId }) => runId));
  for (const { runId, execution, status } of executions) {
    if (status === 'active' && !known.has(runId))
      problems.push({ kind: 'lost', runId, execution, what: 'a child that has not ended' });
  }
  return wrong;
}

/** Steps that must be journaled and are not, that are journaled and never were executed, and rows that nobody will look at. */
function lostSteps(
  { accepted, history, steps, left }: Evidence,
  runOf: Map<string, string>,
  found: Found,
): void {
  const executed = new Set(steps.map(stepOf));
  const journaled = new Set<string>();
  for (const row of history) {
    if (row.what !== 'journaled') continue;
    journaled.add(`${runOf.get(row.execution)} ${row.key}`);
    if (row.detail.startsWith('step ') && !executed.has(stepOf(row)))
      found('lost', row.execution, `step "${row.key}" is journaled, and was never executed`);
  }
  const executionOf = new Map([...runOf].map(([execution, runId]) => [runId, execution]));
  for (const { runId, kind, found: end } of accepted) {
    if (end?.status !== 'failed') continue;
    for (const key of mustHaveRun(kind)) {
      if (!journaled.has(`${runId} ${key}`))
        found('lost', executionOf.get(runId)!, `step "${key}" was not executed`);
    }
  }
  for (const { execution, what } of left) found('lost', execution, `has ended, and a ${what} is left`);
}

function doubledSteps({ history, steps }: Evidence, found: Found): void {
  const executions = groupBy(steps, stepOf);
  const ofSteps = history.filter(
    ({ what }) => what === 'answered' || what === 'journaled' || what === 'rewritten',
  );
  for (const [step, rows] of groupBy(ofSteps, stepOf)) {
    const { execution, key } = rows[0]!;
    const of = (what: HistoryRow['what']): HistoryRow[] => rows.filter((row) => row.what === what);
    const [answers, records] = [of('answered'), of('journaled')];
    if (of('rewritten').length > 0)
      found('doubled', execution, `step "${key}" was changed after it was journaled`);
    if (records.length > 1) found('doubled', execution, `step "${key}" is journaled ${records.length} times`);
    if (answers.length > 1) found('doubled', execution, `step "${key}" is answered ${answers.length} times`);
    const outcomes = new Set([...answers, ...records].map(({ detail }) => detail));
    if (outcomes.size > 1) found('doubled', execution, `step "${key}" has ${outcomes.size} outcomes`);
    const since = Math.min(...rows.map(({ at }) => at));
    for (const { startedAt, pid } of late(executions.get(step), since)) {
      const by = `${(startedAt - since).toFixed(1)} ms after its result was stored`;
      found('doubled', execution, `step "${key}" was executed by process ${pid}, ${by}`);
    }
  }
}

const late = (executions: readonly StepExecution[] | undefined, since: number): readonly StepExecution[] =>
  executions?.filter(({ startedAt }) => startedAt > since) ?? [];

function doubledRuns({ history }: Evidence, found: Found): void {
  const continued = new Map<string, number>();
  const runOf = new Map(
    history.flatMap(({ what, execution, detail }) => (what === 'started' ? [[execution, detail]] : [])),
  );
  const ends = history.filter(({ what }) => what === 'ended');
  for (const [execution, all] of groupBy(ends, ({ execution }) => execution)) {
    if (all.length > 1) found('doubled', execution, `has ended ${all.length} times`);
    const runId = runOf.get(execution)!;
    if (all[0]!.detail.startsWith('continued')) continued.set(runId, (continued.get(runId) ?? 0) + 1);
  }
  const starts = history.filter(({ what }) => what === 'started');
  for (const [runId, all] of groupBy(starts, ({ detail }) => detail)) {
    const extra = all.length - 1 - (continued.get(runId) ?? 0);
    if (extra > 0) found('doubled', all.at(-1)!.execution, `was started ${extra} times too often`);
  }
  const children = starts.filter(({ key }) => key !== '');
  for (const [step, all] of groupBy(children, ({ key }) => key)) {
    const ids = new Set(all.map(({ detail }) => detail));
    if (ids.size > 1) found('doubled', all[0]!.execution, `${ids.size} children of one step (${step})`);
  }
}

/** From each kill to the next progress of each run that the killed process held; one that never went on counts as lost. */
export function recoveries({
  history,
  steps,
  kills,
}: Pick<Evidence, 'history' | 'steps' | 'kills'>): number[] {
  const progress = new Map<string, number[]>();
  const note = (execution: string, at: number): void => {
    const times = progress.get(execution);
    if (times) times.push(at);
    else progress.set(execution, [at]);
  };
  for (const { execution, at, what } of history) if (what !== 'started') note(execution, at);
  for (const { execution, startedAt } of steps) note(execution, startedAt);
  return kills.flatMap(({ at, held }) =>
    held.flatMap((execution) => {
      const next = Math.min(...(progress.get(execution) ?? []).filter((time) => time > at));
      return Number.isFinite(next) ? [next - at] : [];
    }),
  );
}
