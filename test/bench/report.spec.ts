import { describe, expect, it } from 'vitest';
import { boundText, atMost, exactly, isRight } from '../../bench/quick/check.js';
import { merged, rowsOf, type RunRecord } from '../../bench/records.js';
import {
  markdownOf,
  pageWith,
  screenOf,
  settingOf,
  tablesOf,
  textOf,
  type Results,
} from '../../bench/report.js';
import { goalRowsOf, GOALS_HEAD } from '../../bench/goal-rows.js';
import { GOALS } from '../../bench/goals.js';
import { shown } from '../../bench/shown.js';
import { WORKLOADS } from '../../bench/workloads/index.js';

const record = (peer: string, mode: string, stepsPerS: number, more: object = {}): RunRecord => ({
  peer,
  version: '1.0.0',
  mode,
  work: 'w1',
  run: 0,
  foreignPct: 0,
  complete: true,
  stepsPerS,
  per: { cpuMs: 1000 / stepsPerS },
  ...more,
});
const failed: RunRecord = { peer: 'dbos', version: '5', mode: 'default', work: 'w1', run: 1, error: 'no' };

describe('the rows of a workload', () => {
  it('are medians of the runs that nobody disturbed', () => {
    const [row] = rowsOf(
      [
        record('dbos', 'default', 1000),
        record('dbos', 'default', 1200),
        record('dbos', 'default', 100, { foreignPct: 40 }),
      ],
      'w1',
    );
    expect([row!.used, row!.clean, row!.all]).toEqual([2, 2, 3]);
    expect(row!.value('stepsPerS')).toBe(1100);
    expect(row!.value('per.cpuMs')).toBeCloseTo((1 + 1000 / 1200) / 2, 4);
    expect(row!.value('no.such')).toBeUndefined();
  });

  it('are those of all runs when each was disturbed, and leave out what failed', () => {
    const disturbed = { foreignPct: 40 };
    const [row] = rowsOf(
      [record('dbos', 'default', 10, disturbed), record('dbos', 'default', 30, disturbed), failed],
      'w1',
    );
    expect([row!.used, row!.clean, row!.all, row!.errors]).toEqual([2, 0, 2, 1]);
    expect(row!.value('stepsPerS')).toBe(20);
  });

  it('keep modes and workloads apart', () => {
    const records = [record('a', 'x', 1), record('a', 'y', 2), { ...record('a', 'x', 3), work: 'w6' }];
    expect(rowsOf(records, 'w1').map(({ mode }) => mode)).toEqual(['x', 'y']);
    expect(rowsOf(records, 'w6')).toHaveLength(1);
  });
});

describe('results that are added', () => {
  it('replace those of the same peer, mode and workload', () => {
    const before = [record('a', 'x', 1), record('a', 'x', 2), record('b', 'x', 3)];
    const now = [record('a', 'x', 9)];
    expect(merged(before, now)).toEqual([before[2], now[0]]);
  });
});

const RECORDS = [
  record('nestjs-workflow', 'in-process', 30_000),
  record('nestjs-workflow', 'http', 4000),
  record('dbos', 'default', 1150, { complete: false }),
  failed,
];

describe('a table', () => {
  const [table, ...others] = tablesOf(RECORDS);

  it('says how many times better each of our modes is than a peer', () => {
    expect(others).toEqual([]);
    expect(table!.head).toEqual(expect.arrayContaining(['steps/s', 'in-process is', 'http is']));
    const at = table!.head.indexOf('in-process is');
    expect(table!.rows.map((row) => row.slice(at))).toEqual([
      ['', '', '1'],
      ['', '', '1'],
      ['26.1 ×', '3.48 ×', '1 (1 failed, cut)'],
    ]);
  });

  it('has no such columns where there is nobody to compare with', () => {
    const [own] = tablesOf(RECORDS.slice(0, 2));
    expect(own!.head.filter((title) => title.endsWith(' is'))).toEqual([]);
  });

  it('is the same as text and as Markdown', () => {
    expect(textOf(table!)).toMatch(/dbos +│ default +│ +1,150 /);
    const lines = markdownOf(table!).split('\n');
    expect(lines[0]).toBe('### Runs of 10 steps, saturated');
    const widths = lines.filter((line) => line.startsWith('|')).map((line) => line.split('|').length);
    expect(new Set(widths).size).toBe(1);
    expect(widths).toHaveLength(2 + 3);
  });

  it('shows no digits that mean nothing', () => {
    expect([undefined, 0, 0.12345, 1.2345, 12.345, 123.45, 12_345.6].map(shown)).toEqual([
      '',
      '0',
      '0.123',
      '1.23',
      '12.3',
      '123',
      '12,346',
    ]);
  });
});

const RESULTS: Results = {
  at: '2026-11-23T12:00:00.000Z',
  machine: { cores: 2, cpu: 'a processor', memoryGib: 24, system: 'linux x64', node: 'v20.20.2' },
  postgres: { version: '15.18', settings: { fsync: 'on' }, countsStatements: true, inMemory: false },
  skipped: ['restate: not installed'],
  records: RECORDS.map((one) => ({ ...one, command: 'npm run bench -- --work w1', commit: 'abc1234' })),
};

describe('the setting of results', () => {
  it('has what the figures hang on', () => {
    const text = settingOf(RESULTS);
    for (const part of [
      'npm run bench -- --work w1',
      'abc1234',
      '2 cores',
      'v20.20.2',
      '15.18',
      'fsync=on',
      'dbos 1.0.0',
      'left out: restate',
    ])
      expect(text).toContain(part);
    expect(text).not.toContain('MEMORY');
  });

  it('warns of data in memory', () => {
    expect(settingOf({ ...RESULTS, postgres: { ...RESULTS.postgres, inMemory: true } })).toContain(
      'IN MEMORY',
    );
  });
});

describe('the goals', () => {
  const ours = (work: string, more: object) => record('nestjs-workflow', 'in-process', 1, { work, ...more });
  const rowOf = (what: string, records: readonly RunRecord[]): string[] =>
    goalRowsOf(records).find(([name]) => name === what)!;

  it('are told where both sides were measured', () => {
    const trig = { work: 'trig', per: {} };
    const records = [
      ...RECORDS,
      ours('trig', { per: {}, runsPerS: 3000 }),
      record('dbos', 'default', 1, { ...trig, runsPerS: 200 }),
    ];
    const told = goalRowsOf(records).map((row) => row.slice(0, 4));
    expect(told).toContainEqual(['steps/s in-process, saturated', '30,000', '≥ 30,000', 'yes']);
    expect(told).toContainEqual(['one-step runs/s of 100 callers', '3,000', '≥ 4,000', 'no']);
    expect(told).toContainEqual(['CPU ms of a run of 10 steps, over HTTP', '0.25', '≤ 5', 'yes']);
    expect(told.filter(([what]) => what !== '')).toHaveLength(5);
    for (const row of goalRowsOf(records)) expect(row).toHaveLength(GOALS_HEAD.length);
  });

  it('are told as ratios too, on a machine of half the speed: the number is missed and the ratio reached', () => {
    const slow = [
      record('nestjs-workflow', 'in-process', 15_500, { per: { cpuMs: 1.1 } }),
      record('dbos', 'default', 580, { per: { cpuMs: 26 } }),
    ];
    const [what, cpu] = ['steps/s in-process, saturated', 'CPU ms of a run of 10 steps, in-process'];
    expect(rowOf(what, slow).slice(1)).toEqual([
      '15,500',
      '≥ 30,000',
      'no',
      'dbos default: 1,150',
      '≥ 26.1 ×',
      '26.7 ×',
      'yes',
    ]);
    expect(rowOf(cpu, slow).slice(1)).toEqual([
      '1.1',
      '≤ 0.6',
      'no',
      'dbos default: 13',
      '≥ 21.7 ×',
      '23.6 ×',
      'yes',
    ]);
  });

  it('are told as ratios too, on a machine of twice the speed: the number is reached and the ratio missed', () => {
    const fast = [
      record('nestjs-workflow', 'in-process', 31_000, { per: { cpuMs: 0.5 } }),
      record('dbos', 'default', 2300, { per: { cpuMs: 6.5 } }),
    ];
    const verdicts = goalRowsOf(fast).map((row) => [row[3], row[7]]);
    expect(verdicts.slice(0, 1)).toEqual([['yes', 'no']]);
    expect(rowOf('CPU ms of a run of 10 steps, in-process', fast).slice(5)).toEqual([
      '≥ 21.7 ×',
      '13 ×',
      'no',
    ]);
  });

  it('have a row for each peer they are compared with, without a verdict where it was not measured', () => {
    const [own, floor, ...others] = goalRowsOf([
      ours('w1lat', { per: {}, result: { p50: 6 } }),
      record('rawpg', 'named', 1, { work: 'w1lat', per: {}, result: { p50: 4.2 } }),
    ]);
    expect(own!.slice(1)).toEqual(['6', '≤ 5', 'no', 'dbos default: 17', '≥ 3.4 ×', '', '']);
    expect(floor).toEqual(['', '', '', '', 'rawpg named: 3.3', '≥ 0.66 ×', '0.7 ×', 'yes']);
    expect(others).toEqual([]);
  });

  it('that were set as a ratio have no other, and counts have none', () => {
    const records = [
      ours('trig', { per: { writeTx: 1 }, runsPerS: 4100 }),
      record('dbos', 'default', 1, { work: 'trig', per: {}, runsPerS: 200 }),
      ours('w7', { per: {}, asleep: 5 }),
    ];
    expect(rowOf('one-step runs/s of 100 callers', records).slice(3)).toEqual([
      'yes',
      'dbos default',
      '≥ 20 ×',
      '20.5 ×',
      'yes',
    ]);
    expect(rowOf('runs asleep', records).slice(3)).toEqual(['no', '', '', '', '']);
  });

  it('that hang on the speed of a machine are compared with a peer, where one was measured at it', () => {
    const isSpeed = /PerS$|cpuMs$|p50$|p99$|Pct$|bootS$/;
    const alone = GOALS.filter(({ of, than, beside }) => {
      const hangs =
        typeof than === 'number' && isSpeed.test(of.path) && !of.path.startsWith('idle.statements');
      return hangs && beside.length === 0;
    });
    expect(alone.map(({ of }) => of.work)).toEqual(['overload', 'pglite']);
    for (const { beside } of GOALS) for (const { there } of beside) expect(there).toBeGreaterThan(0);
  });

  it('are of workloads that there are', () => {
    for (const { of, than } of GOALS) {
      expect(WORKLOADS).toHaveProperty(of.work);
      if (typeof than !== 'number') expect(WORKLOADS).toHaveProperty(than.of.work);
    }
  });
});

describe('the page', () => {
  const page = 'before\n<!-- figures: npm run bench -- --into -->\nold\n<!-- end of figures -->\nafter\n';

  it('has the figures between its marks, as often as they are put there', () => {
    const once = pageWith(page, RESULTS);
    expect(once).toMatch(/^before\n.*- 2 cores .*### Goals.*### Runs of 10 steps, saturated.*\nafter\n$/s);
    expect(once).not.toContain('old');
    expect(pageWith(once, RESULTS)).toBe(once);
  });

  it('that has no place for them is not written', () => {
    expect(() => pageWith('nothing', RESULTS)).toThrow('no place for figures');
  });

  it('has the tables that the screen has', () => {
    expect(screenOf(RESULTS)).toContain('Runs of 10 steps, saturated');
  });
});

describe('a check', () => {
  it('is right when the count is what it must be, and was counted', () => {
    expect(isRight(exactly('a', 'b', 3, 3))).toBe(true);
    expect(isRight(exactly('a', 'b', 4, 3))).toBe(false);
    expect(isRight(atMost('a', 'b', 3, 3))).toBe(true);
    expect(isRight(atMost('a', 'b', 3.01, 3))).toBe(false);
    for (const nothing of [undefined, null, NaN, '3'])
      expect(isRight(atMost('a', 'b', nothing, 3))).toBe(false);
  });

  it('says its bound', () => {
    expect([boundText(exactly('a', 'b', 1, 2)), boundText(atMost('a', 'b', 1, 2))]).toEqual(['= 2', '≤ 2']);
  });
});
