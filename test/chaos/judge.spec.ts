import { describe, expect, it } from 'vitest';
import type { AcceptedRun, Evidence, HistoryRow, StepExecution } from './evidence.js';
import { judge, recoveries } from './judge.js';

/** A history that is as it should be: run r1 (execution 1) with a step `a` executed by a task, `b` inline, and a child. */
const history: readonly HistoryRow[] = [
  { at: 10, what: 'started', execution: '1', key: '', detail: 'steps-1' },
  { at: 20, what: 'answered', execution: '1', key: 'a', detail: 'step x' },
  { at: 21, what: 'journaled', execution: '1', key: 'a', detail: 'step x' },
  { at: 30, what: 'journaled', execution: '1', key: 'b', detail: 'step y' },
  { at: 31, what: 'given back', execution: '1', key: '', detail: '' },
  { at: 32, what: 'started', execution: '2', key: '1/child', detail: 'c1' },
  { at: 35, what: 'ended', execution: '2', key: '', detail: 'completed z' },
  { at: 36, what: 'journaled', execution: '1', key: 'child', detail: 'invoke z' },
  { at: 40, what: 'ended', execution: '1', key: '', detail: 'completed z' },
];
const step = (key: string, startedAt: number, more: Partial<StepExecution> = {}): StepExecution => ({
  execution: '1',
  key,
  attempt: 1,
  pid: 7,
  startedAt,
  ...more,
});
const run: AcceptedRun = {
  runId: 'steps-1',
  kind: 'steps',
  expected: { status: 'completed', result: 5 },
  found: { status: 'completed', result: 5 },
};
const good: Evidence = {
  accepted: [run],
  executions: [
    { execution: '1', runId: 'steps-1', status: 'completed' },
    { execution: '2', runId: 'c1', status: 'completed' },
  ],
  history,
  steps: [step('a', 15), step('b', 25)],
  kills: [],
  left: [],
};
const told = (evidence: Partial<Evidence>): string[] =>
  judge({ ...good, ...evidence }).problems.map(({ kind, runId, what }) => `${kind} ${runId}: ${what}`);
const more = (...rows: readonly HistoryRow[]): Partial<Evidence> => ({ history: [...history, ...rows] });

describe('the judge of npm run chaos', () => {
  it('finds nothing in a history that is as it should be', () => {
    expect(judge(good)).toEqual({ completed: 1, problems: [], reexecuted: 0, executed: 2, maxRecoveryMs: 0 });
  });

  it.each<[string, AcceptedRun['found'], string]>([
    ['unknown', undefined, 'is unknown, must be completed (5)'],
    ['not ended', { status: 'waiting' }, 'is waiting (undefined), must be completed (5)'],
    ['wrong', { status: 'completed', result: 6 }, 'is completed (6), must be completed (5)'],
    ['failed', { status: 'failed', message: 'oh' }, 'is failed (oh), must be completed (5)'],
  ])('a run that is %s is lost', (_, found, what) => {
    expect(told({ accepted: [{ ...run, found }] })).toEqual([`lost steps-1: ${what}`]);
    expect(judge({ ...good, accepted: [{ ...run, found }] }).completed).toBe(0);
  });

  it('a run that must fail with another message is lost', () => {
    const expected = { status: 'failed', message: 'none left' } as const;
    const ended = { ...run, kind: 'events' as const, expected, found: { status: 'failed', message: 'oh' } };
    expect(told({ accepted: [ended] })).toEqual(['lost steps-1: is failed (oh), must be failed (none left)']);
    expect(told({ accepted: [{ ...ended, found: { ...expected } }] })).toEqual([]);
  });

  it('a child that has not ended is lost', () => {
    const executions = good.executions.map((row) =>
      row.execution === '2' ? { ...row, status: 'active' } : row,
    );
    expect(told({ executions })).toEqual(['lost c1: a child that has not ended']);
  });

  it('a journaled step that was never executed is lost', () => {
    expect(told({ steps: [step('a', 15)] })).toEqual([
      'lost steps-1: step "b" is journaled, and was never executed',
    ]);
  });

  it('a compensation that was not executed is lost', () => {
    const expected = { status: 'failed', message: 'none left' } as const;
    const failed = { runId: 'steps-1', kind: 'undo', expected, found: expected } as const;
    expect(told({ accepted: [failed] })).toContain('lost steps-1: step "rollback/undo 1" was not executed');
  });

  it('what is left of a run that has ended is told', () => {
    expect(told({ left: [{ execution: '2', what: 'task' }] })).toEqual([
      'lost c1: has ended, and a task is left',
    ]);
  });

  it.each<[string, HistoryRow, string[]]>([
    [
      'journaled twice',
      { at: 50, what: 'journaled', execution: '1', key: 'b', detail: 'step y' },
      ['step "b" is journaled 2 times'],
    ],
    [
      'journaled twice, differently',
      { at: 50, what: 'journaled', execution: '1', key: 'b', detail: 'step other' },
      ['step "b" is journaled 2 times', 'step "b" has 2 outcomes'],
    ],
    [
      'answered twice',
      { at: 50, what: 'answered', execution: '1', key: 'a', detail: 'step x' },
      ['step "a" is answered 2 times'],
    ],
    [
      'changed',
      { at: 50, what: 'rewritten', execution: '1', key: 'a', detail: 'UPDATE' },
      ['step "a" was changed after it was journaled'],
    ],
    [
      'a run that ends twice',
      { at: 50, what: 'ended', execution: '1', key: '', detail: 'failed' },
      ['has ended 2 times'],
    ],
    [
      'a run that is started twice',
      { at: 50, what: 'started', execution: '3', key: '', detail: 'steps-1' },
      ['was started 1 times too often'],
    ],
    [
      'a second child of one step',
      { at: 50, what: 'started', execution: '3', key: '1/child', detail: 'c2' },
      ['2 children of one step (1/child)'],
    ],
  ])('%s is doubled', (_, row, what) => {
    const { problems } = judge({ ...good, ...more(row) });
    expect(problems.map((problem) => problem.what)).toEqual(what);
    expect(problems.every(({ kind }) => kind === 'doubled')).toBe(true);
  });

  it('another answer than the one that was journaled is doubled', () => {
    const changed = history.map((row) => (row.what === 'answered' ? { ...row, detail: 'step other' } : row));
    expect(told({ history: changed })).toEqual(['doubled steps-1: step "a" has 2 outcomes']);
  });

  it('a run that goes on as new is started again, and not doubled', () => {
    const continued = history.map((row) =>
      row.what === 'ended' && row.execution === '1' ? { ...row, detail: 'continued' } : row,
    );
    const next: HistoryRow = { at: 50, what: 'started', execution: '3', key: '', detail: 'steps-1' };
    expect(told({ history: [...continued, next] })).toEqual([]);
    expect(told({ history: [...continued, next, { ...next, execution: '4' }] })).toHaveLength(1);
  });

  it('a step that is executed once its result is stored is doubled; before, it is executed again', () => {
    const again = judge({ ...good, steps: [...good.steps, step('a', 19, { pid: 8 })] });
    expect([again.problems, again.reexecuted]).toEqual([[], 1]);
    const attempts = judge({ ...good, steps: [...good.steps, step('a', 19, { attempt: 2 })] });
    expect([attempts.problems, attempts.reexecuted]).toEqual([[], 0]);
    expect(told({ steps: [...good.steps, step('a', 20.5, { pid: 8 })] })).toEqual([
      'doubled steps-1: step "a" was executed by process 8, 0.5 ms after its result was stored',
    ]);
  });

  it('a recovery lasts from the kill to the next progress of what was held', () => {
    const kill = { at: 22, held: ['1', '2'] };
    expect(recoveries({ ...good, kills: [kill] })).toEqual([3, 13]);
    expect(judge({ ...good, kills: [kill] }).maxRecoveryMs).toBe(13);
    expect(recoveries({ ...good, kills: [{ at: 99, held: ['1'] }] })).toEqual([]);
  });
});
