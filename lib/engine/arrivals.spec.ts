import { describe, expect, it } from 'vitest';
import { arrivalsFor } from './arrivals.js';
import { Journal, type InboxMessage, type JournalRow } from './journal.js';
import { pendingRow } from './plan.js';
import type { Ask, Request } from './replay.js';

const ASKED = 100;
let order = 0;
const ask = (key: string, request: Partial<Request>): Ask => ({
  key,
  order: order++,
  request: { kind: 'step', name: key, ...request },
});
const step = (key: string): Ask => ask(key, { execute: () => 1 });
const sleep = (key: string, ms: number): Ask => ask(key, { kind: 'sleep', sleep: { ms } });
const wait = (key: string, event: string, timeoutMs: number | null = null): Ask =>
  ask(key, { kind: 'wait', event, timeoutMs });
const message = (id: string, event: string, createdAt: number, eventId = id): InboxMessage => ({
  id,
  kind: 'event',
  key: null,
  event,
  eventId,
  data: JSON.stringify(id),
  createdAt,
});

function journalOf(asks: readonly Ask[], inbox: readonly InboxMessage[] = []): Journal {
  const journal = new Journal();
  journal.merge(
    asks.map((one) => pendingRow(one, ASKED)),
    inbox,
  );
  return journal;
}
const answered = (one: Ask, finishedAt: number): JournalRow => ({
  ...pendingRow(one, ASKED),
  state: 'answered',
  answer: { ok: true, value: '1' },
  finishedAt,
});

/** Takes what arrives until nothing does, as an activation does whose code asks for nothing new. */
function all(journal: Journal, open: readonly Ask[], now: number): { keys: string[]; consumed: string[] } {
  const keys: string[] = [];
  const consumed: string[] = [];
  for (;;) {
    const arrivals = arrivalsFor(journal, open, now);
    if (arrivals.rows.length === 0) return { keys, consumed };
    for (const row of arrivals.rows) keys.push(journal.put(row).key);
    consumed.push(...arrivals.consumed);
    journal.consume(arrivals.consumed);
  }
}

describe('a child run answers the step that invoked it', () => {
  const invoke = (key: string): Ask =>
    ask(key, { kind: 'invoke', start: async () => ({ runId: 'c1', here: null }) });
  const ended = (key: string, kind: InboxMessage['kind'], data: string, createdAt = 150): InboxMessage => ({
    ...message(`of ${key}`, '', createdAt),
    kind,
    key,
    data,
  });
  const waiting = (asks: readonly Ask[], inbox: readonly InboxMessage[]): Journal => {
    const journal = new Journal();
    journal.merge(
      asks.map((one) => ({ ...pendingRow(one, ASKED), dispatched: true, request: `run of ${one.key}` })),
      inbox,
    );
    return journal;
  };

  it('with its result, which is used up', () => {
    const a = invoke('a');
    const journal = waiting([a], [ended('a', 'completed', '7')]);
    const { rows, consumed } = arrivalsFor(journal, [a], 200);
    expect(rows).toMatchObject([
      {
        key: 'a',
        state: 'journaled',
        position: 1,
        answer: { ok: true, value: '7' },
        attempts: 1,
        finishedAt: 200,
      },
    ]);
    expect([...consumed]).toEqual(['of a']);
    journal.consume(consumed);
    expect(journal.resultFor('a')).toBeUndefined();
  });

  it('with its failure, or with the word that it was cancelled', () => {
    const [a, b] = [invoke('a'), invoke('b')];
    const journal = waiting(
      [a, b],
      [ended('a', 'failed', '{"name":"E","message":"m"}'), ended('b', 'cancelled', '')],
    );
    const { rows } = arrivalsFor(journal, [a, b], 200);
    expect(rows[0]!.answer).toEqual({ ok: false, failure: '{"name":"E","message":"m"}' });
    const { answer } = rows[1]!;
    expect(answer?.ok === false && JSON.parse(answer.failure)).toMatchObject({
      code: 'WF_RUN_CANCELLED',
      message: expect.stringContaining('run of b'),
    });
  });

  it('many at once, in the order in which they ended, and before an event that came later', () => {
    const asks = [invoke('a'), invoke('b'), wait('w', 'paid')];
    const inbox = [
      ended('a', 'completed', '1', 180),
      ended('b', 'completed', '2', 170),
      message('m', 'paid', 190),
    ];
    const journal = waiting(asks, inbox);
    expect(arrivalsFor(journal, asks, 200).rows.map(({ key }) => key)).toEqual(['b', 'a']);
    expect(all(waiting(asks, inbox), asks, 200)).toEqual({
      keys: ['b', 'a', 'w'],
      consumed: ['of b', 'of a', 'm'],
    });
  });

  it('and nobody else: an event of that name, or another step, is not meant', () => {
    const [a, w] = [invoke('a'), wait('w', '')];
    expect(arrivalsFor(waiting([a], [message('m', 'a', 150)]), [a], 200).rows).toEqual([]);
    expect(arrivalsFor(waiting([w], [ended('a', 'completed', '1')]), [w], 200).rows).toEqual([]);
  });
});

describe('an open ask is answered', () => {
  it('by its step task', () => {
    const a = step('a');
    const journal = new Journal();
    journal.merge([answered(a, 120)], []);
    expect(arrivalsFor(journal, [a], 200).rows).toEqual([
      { ...answered(a, 120), state: 'journaled', position: 1 },
    ]);
  });

  it('by an event of its name, which is used up', () => {
    const w = wait('w', 'paid');
    const { rows, consumed } = arrivalsFor(journalOf([w], [message('m', 'paid', 130)]), [w], 200);
    expect(rows).toEqual([
      {
        ...pendingRow(w, ASKED),
        state: 'journaled',
        position: 1,
        answer: { ok: true, value: '"m"' },
        eventId: 'm',
        finishedAt: 200,
      },
    ]);
    expect([...consumed]).toEqual(['m']);
  });

  it('because its time has come, to the millisecond', () => {
    const asks = [sleep('s', 50), wait('w', 'paid', 50)];
    expect(arrivalsFor(journalOf(asks), asks, 149).rows).toEqual([]);
    const { rows } = arrivalsFor(journalOf(asks), asks, 150);
    expect(rows.map(({ key, eventId, position }) => [key, eventId, position])).toEqual([
      ['s', null, 1],
      ['w', null, 2],
    ]);
  });
});

describe('an open ask stays open', () => {
  it.each<[string, Ask, Partial<JournalRow>, InboxMessage[]]>([
    ['while only another event has come', wait('w', 'paid'), {}, [message('m', 'other', 1)]],
    ['without a timeout, for ever', wait('w', 'paid'), {}, []],
    ['as a step in backoff: its time is that of its task', step('a'), { wakeAt: 1 }, []],
    [
      'when the answer is a fact already',
      sleep('s', 1),
      { state: 'journaled', position: 1, finishedAt: 101 },
      [],
    ],
  ])('%s', (_, one, more, inbox) => {
    const journal = new Journal();
    journal.merge([{ ...pendingRow(one, ASKED), ...more }], inbox);
    expect(arrivalsFor(journal, [one], 9999)).toEqual({ rows: [], consumed: new Set() });
  });

  it('when it has no row yet', () => {
    expect(arrivalsFor(journalOf([]), [step('a')], 9999).rows).toEqual([]);
  });
});

describe('the order', () => {
  it('is that in which things happened, then that in which they were asked', () => {
    const [late, a, b] = [sleep('late', 60), sleep('a', 20), sleep('b', 20)];
    const [x, y] = [step('x'), step('y')];
    const journal = journalOf([late, b, a]);
    journal.merge([answered(y, 110), answered(x, 130)], []);
    expect(arrivalsFor(journal, [late, b, a, x, y], 200).rows.map(({ key }) => key)).toEqual([
      'y',
      'a',
      'b',
      'x',
      'late',
    ]);
  });

  it('of positions goes on from the journal', () => {
    const [a, b] = [sleep('a', 1), sleep('b', 2)];
    const journal = journalOf([a, b]);
    journal.position = 7;
    expect(arrivalsFor(journal, [a, b], 200).rows.map(({ position }) => position)).toEqual([8, 9]);
  });

  it('an event beats the timeout of its own wait, whichever came first', () => {
    const w = wait('w', 'paid', 10);
    const { rows } = arrivalsFor(journalOf([w], [message('m', 'paid', 190)]), [w], 200);
    expect(rows.map(({ eventId }) => eventId)).toEqual(['m']);
  });
});

describe('events', () => {
  it('one goes to every open wait of its name, and is used up once', () => {
    const asks = [wait('w', 'paid'), wait('other', 'refused'), wait('v', 'paid')];
    const journal = journalOf(asks, [message('m', 'paid', 120)]);
    expect(all(journal, asks, 200)).toEqual({ keys: ['w', 'v'], consumed: ['m'] });
  });

  it('the oldest of a name comes first, the next one is for the next wait', () => {
    const [first, second] = [wait('w', 'paid'), wait('w#2', 'paid')];
    const journal = journalOf([first], [message('m1', 'paid', 120), message('m2', 'paid', 121)]);
    expect(all(journal, [first], 200)).toEqual({ keys: ['w'], consumed: ['m1'] });
    journal.merge([pendingRow(second, 200)], journal.inbox);
    expect(all(journal, [second], 200)).toEqual({ keys: ['w#2'], consumed: ['m2'] });
  });

  it('the same one, kept and in the inbox twice, is given once', () => {
    const [first, second] = [wait('w', 'paid'), wait('w#2', 'paid')];
    const journal = journalOf([first], [message('m', 'paid', 120), message('copy', 'paid', 121, 'm')]);
    expect(all(journal, [first], 200).consumed).toEqual(['m']);
    journal.merge([pendingRow(second, 200)], journal.inbox);
    expect(all(journal, [second], 200)).toEqual({ keys: [], consumed: [] });
  });

  it('one is not given before the code has seen what happened earlier: it may begin to wait again because of it', () => {
    const [w, s] = [wait('w', 'paid'), sleep('s', 10)];
    const journal = journalOf([w, s], [message('m', 'paid', 150)]);
    const first = arrivalsFor(journal, [w, s], 200);
    expect(first.rows.map(({ key }) => key)).toEqual(['s']);
    expect([...first.consumed]).toEqual([]);
    for (const row of first.rows) journal.put(row);
    // the sleep has won the race, and the loop waits again: the abandoned wait must not swallow the event
    const again = wait('w#2', 'paid');
    journal.put(pendingRow(again, 200));
    const second = arrivalsFor(journal, [w, again], 200);
    expect(second.rows.map(({ key, eventId }) => [key, eventId])).toEqual([
      ['w', 'm'],
      ['w#2', 'm'],
    ]);
  });

  it('what happens after one is given after it', () => {
    const [w, s, v] = [wait('w', 'paid'), sleep('s', 60), wait('v', 'paid')];
    const journal = journalOf([w, s, v], [message('m', 'paid', 120)]);
    expect(arrivalsFor(journal, [w, s, v], 200).rows.map(({ key }) => key)).toEqual(['w', 'v']);
    const other = wait('o', 'refused');
    const two = journalOf([w, other], [message('m1', 'paid', 120), message('m2', 'refused', 120)]);
    expect(arrivalsFor(two, [w, other], 200).rows.map(({ key }) => key)).toEqual(['w']);
    expect(all(two, [w, other], 200)).toEqual({ keys: ['w', 'o'], consumed: ['m1', 'm2'] });
  });
});
