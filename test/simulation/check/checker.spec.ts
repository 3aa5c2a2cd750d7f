import { describe, expect, it } from 'vitest';
import type { JournalRow } from '../../../lib/engine/journal.js';
import { check, type Rule } from './checker.js';
import type { Entry, Fact } from './history.js';

const row = (key: string, more: Partial<JournalRow> = {}): JournalRow => ({
  key,
  name: key,
  kind: 'step',
  state: 'pending',
  position: null,
  answer: null,
  attempts: 0,
  askedAt: 0,
  finishedAt: null,
  wakeAt: null,
  event: null,
  eventId: null,
  dispatched: false,
  digest: null,
  request: null,
  ...more,
});

const journaled = (key: string, position: number, value = `"${key}#t1"`): JournalRow =>
  row(key, { state: 'journaled', position, answer: { ok: true, value } });

const run = (more: Partial<Extract<Fact, { is: 'run' }>> = {}): Fact => ({
  is: 'run',
  execution: '1',
  runId: 'r1',
  life: '<r1.1>',
  parent: null,
  parentKey: null,
  ...more,
});
const wrote = (given: JournalRow, execution = '1'): Fact => ({ is: 'row', execution, row: given });
const begins = (key: string, after: readonly (readonly [string, string])[] = []): Fact => ({
  is: 'begins',
  life: '<r1.1>',
  key,
  execution: '1',
  attempt: 1,
  after,
});
const ended = (status: Extract<Fact, { is: 'ended' }>['status'] = 'completed', execution = '1'): Fact => ({
  is: 'ended',
  execution,
  status,
});
const result = (value: string, execution = '1'): Fact => ({ is: 'result', execution, value });
const leased = (fence: number): Fact => ({ is: 'leased', task: '7', fence, worker: 'w' });
const undoable = (key: string): Fact => ({ is: 'undoable', life: '<r1.1>', key });
const rollbacks = (count: number): Fact => ({ is: 'rollbacks', execution: '1', count });
const over: Fact = { is: 'over' };

/** What happened, ten seconds apart; a fact with `by` is that of another process. */
function history(facts: readonly (Fact & { readonly by?: string })[]): Entry[] {
  return facts.map((fact, i) => ({ by: 'p1', ...fact, at: i * 10_000 }));
}

const rulesOf = (facts: readonly Fact[]): Rule[] => [
  ...new Set(check(history(facts)).map(({ rule }) => rule)),
];

describe('the checker of histories', () => {
  it('finds nothing where all is well', () => {
    const child = run({ execution: '2', runId: 'c', parent: '1', parentKey: 'i2' });
    const good: Fact[] = [
      { ...run() },
      { is: 'accepted', runId: 'r1' },
      leased(1),
      begins('s1'),
      wrote(row('s1')),
      begins('s1'),
      { is: 'wrote', task: '7', fence: 1, turn: 0 },
      wrote(journaled('s1', 1)),
      undoable('u1'),
      undoable('u2'),
      begins('s2', [['s1', 's1#t1']]),
      child,
      ended('completed', '2'),
      result('"c"', '2'),
      wrote(
        row('i2', {
          kind: 'invoke',
          state: 'journaled',
          position: 2,
          request: 'c',
          answer: { ok: true, value: '"c"' },
        }),
      ),
      { is: 'arrived', execution: '1', id: 'm', eventId: 'e' },
      wrote(
        row('w3', {
          kind: 'wait',
          state: 'journaled',
          position: 3,
          eventId: 'e',
          answer: { ok: true, value: '1' },
        }),
      ),
      { is: 'taken', execution: '1', id: 'm', eventId: 'e' },
      rollbacks(2),
      begins('rollback/u2'),
      wrote(journaled('rollback/u2', 4)),
      begins('rollback/u1'),
      wrote(journaled('rollback/u1', 5)),
      ended('failed'),
      { is: 'told', runId: 'r1', how: 'failed', value: '' },
      over,
    ];
    expect(check(history(good))).toEqual([]);
  });

  it.each<[Rule, string, Fact[]]>([
    [
      'journaled is never executed again',
      'a journaled step begins',
      [run(), wrote(journaled('s1', 1)), begins('s1')],
    ],
    [
      'journaled is never executed again',
      'an answered step begins',
      [run(), wrote(row('s1', { state: 'answered', answer: { ok: true, value: '1' } })), begins('s1')],
    ],
    [
      'journaled before what depends on it',
      'a step begins after one that is pending',
      [run(), wrote(row('s1')), begins('s2', [['s1', 's1#t1']])],
    ],
    [
      'journaled before what depends on it',
      'a step begins after one that nobody wrote',
      [run(), begins('s2', [['s1', 's1#t1']])],
    ],
    [
      'replay sees what was journaled',
      'a step begins after another value',
      [run(), wrote(journaled('s1', 1)), begins('s2', [['s1', 's1#t2']])],
    ],
    [
      'replay sees what was journaled',
      'a success was seen as a failure',
      [run(), wrote(journaled('s1', 1)), begins('s2', [['s1', 'StepFailedError: no']])],
    ],
    [
      'replay sees what was journaled',
      'a drawn number changes',
      [run(), begins('s2', [['d1', '0.1']]), begins('s2', [['d1', '0.2']])],
    ],
    [
      'journaled never changes',
      'another value',
      [run(), wrote(journaled('s1', 1)), wrote(journaled('s1', 1, '"s1#t2"'))],
    ],
    [
      'journaled never changes',
      'another answer gets the position',
      [
        run(),
        wrote(row('s1', { state: 'answered', answer: { ok: true, value: '1' } })),
        wrote(journaled('s1', 1, '2')),
      ],
    ],
    [
      'positions are one order',
      'a position twice',
      [run(), wrote(journaled('s1', 1)), wrote(journaled('s2', 1)), ended(), over],
    ],
    ['positions are one order', 'a position left out', [run(), wrote(journaled('s1', 2)), ended(), over]],
    ['every run ends', 'a run goes on', [run(), over]],
    ['every run ends', 'an accepted run is not there', [{ is: 'accepted', runId: 'r9' }]],
    ['one outcome', 'a second end', [run(), ended('completed'), ended('cancelled')]],
    ['one outcome', 'a row after the end', [run(), ended('completed'), wrote(journaled('s1', 1))]],
    [
      'told what is',
      'another result',
      [run(), ended(), result('"a"'), { is: 'told', runId: 'r1', how: 'completed', value: 'b' }],
    ],
    [
      'told what is',
      'another end',
      [run(), ended('failed'), { is: 'told', runId: 'r1', how: 'completed', value: 'b' }],
    ],
    [
      'cancelled or ended, not both',
      'completed all the same',
      [run(), { is: 'cancel', runId: 'r1', done: true }, ended('completed'), over],
    ],
    [
      'one child for a step',
      'two children',
      [
        run(),
        run({ execution: '2', runId: 'a', parent: '1', parentKey: 'i' }),
        run({ execution: '3', runId: 'b', parent: '1', parentKey: 'i' }),
      ],
    ],
    [
      'a child answers its step',
      'a child that goes on',
      [
        run(),
        run({ execution: '2', runId: 'c', parent: '1', parentKey: 'i2' }),
        wrote(
          row('i2', {
            kind: 'invoke',
            state: 'journaled',
            position: 1,
            request: 'c',
            answer: { ok: true, value: '1' },
          }),
        ),
      ],
    ],
    [
      'a child answers its step',
      'another result than that of the child',
      [
        run(),
        run({ execution: '2', runId: 'c', parent: '1', parentKey: 'i2' }),
        ended('completed', '2'),
        result('2', '2'),
        wrote(
          row('i2', {
            kind: 'invoke',
            state: 'journaled',
            position: 1,
            request: 'c',
            answer: { ok: true, value: '1' },
          }),
        ),
      ],
    ],
    ['undone, the last first', 'not undone', [run(), undoable('u1'), rollbacks(1), ended('failed'), over]],
    [
      'undone, the last first',
      'the first first',
      [
        run(),
        undoable('u1'),
        undoable('u2'),
        begins('rollback/u1'),
        wrote(journaled('rollback/u1', 1)),
        begins('rollback/u2'),
      ],
    ],
    [
      'undone, the last first',
      'the next before the last is done',
      [run(), undoable('u1'), undoable('u2'), begins('rollback/u2'), begins('rollback/u1')],
    ],
    [
      'undone, the last first',
      'undone although it succeeded',
      [run(), undoable('u1'), ended('completed'), begins('rollback/u1')],
    ],
    [
      'no event is lost',
      'taken, and given to nobody',
      [run(), { is: 'taken', execution: '1', id: 'm', eventId: 'e' }, over],
    ],
    [
      'one writer for a fence',
      'written under an old fence',
      [run(), leased(1), leased(2), { is: 'wrote', task: '7', fence: 1, turn: null }],
    ],
    ['one writer for a fence', 'leased twice under one fence', [run(), leased(2), leased(2)]],
    [
      'one writer for a fence',
      'one turn written twice',
      [
        leased(1),
        { is: 'wrote', task: '7', fence: 1, turn: 0 },
        { is: 'wrote', task: '7', fence: 1, turn: 0 },
      ],
    ],
  ])('%s: %s', (rule, _what, facts) => {
    expect(rulesOf(facts)).toContain(rule);
  });

  it('one writer for a fence: two processes write without turns', () => {
    const facts: (Fact & { by?: string })[] = [
      leased(1),
      { is: 'wrote', task: '7', fence: 1, turn: null, by: 'p1' },
      { is: 'wrote', task: '7', fence: 1, turn: null, by: 'p2' },
    ];
    expect(check(history(facts))).toMatchObject([{ rule: 'one writer for a fence' }]);
  });
});
