import { describe, expect, it } from 'vitest';
import { FAILURE_KEY, Journal, type InboxMessage, type JournalRow } from './journal.js';

const row = (key: string, more: Partial<JournalRow> = {}): JournalRow => ({
  key,
  name: key,
  kind: 'step',
  state: 'pending',
  position: null,
  answer: null,
  attempts: 0,
  askedAt: 1,
  finishedAt: null,
  wakeAt: null,
  event: null,
  eventId: null,
  dispatched: false,
  digest: null,
  request: null,
  ...more,
});
const fact = (key: string, position: number, more: Partial<JournalRow> = {}): JournalRow =>
  row(key, { state: 'journaled', position, answer: { ok: true, value: '1' }, finishedAt: 2, ...more });
const message = (id: string): InboxMessage => ({
  id,
  kind: 'event',
  key: null,
  event: 'paid',
  eventId: id,
  data: '1',
  createdAt: 1,
});

describe('what a load returned', () => {
  it('is delivered in order of position, whatever the order of the rows', () => {
    const journal = new Journal();
    journal.merge([fact('b', 2), row('p'), fact('a', 1), fact('c', 3)], []);
    expect(journal.undelivered.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
    expect(journal.position).toBe(3);
    expect(journal.get('p')?.state).toBe('pending');
    expect(journal.get('nobody')).toBeUndefined();
    expect(journal.rows.map(({ key }) => key)).toEqual(['b', 'p', 'a', 'c']);
  });

  it('replaces what was pending, and never what is a fact', () => {
    const journal = new Journal();
    const first = fact('a', 1);
    journal.merge([first, row('b')], []);
    journal.merge([fact('a', 1, { attempts: 9 }), row('b', { state: 'answered' })], []);
    expect(journal.get('a')).toBe(first);
    expect(journal.get('b')?.state).toBe('answered');
    expect(journal.undelivered).toEqual([first]);
  });

  it('may have messages for what is answered already, and for nothing else they are spent', () => {
    const journal = new Journal();
    const result = (id: string, key: string): InboxMessage => ({ ...message(id), kind: 'completed', key });
    journal.merge(
      [fact('a', 1), row('b')],
      [result('m1', 'a'), result('m2', 'b'), result('m3', 'c'), message('m4')],
    );
    expect(journal.spent.map(({ id }) => id)).toEqual(['m1']);
    expect(new Journal().spent).toEqual([]);
  });

  it('brings the whole inbox; used-up messages leave it', () => {
    const journal = new Journal();
    journal.merge([], [message('m1'), message('m2')]);
    journal.consume(new Set(['m1', 'unknown']));
    expect(journal.inbox.map(({ id }) => id)).toEqual(['m2']);
    journal.merge([], []);
    expect(journal.inbox).toEqual([]);
  });
});

describe('delivery', () => {
  it('takes a row off the list once, however often it is said', () => {
    const journal = new Journal();
    const first = journal.put(fact('a', 1));
    const second = journal.put(fact('b', 2));
    journal.delivered(first);
    journal.delivered(first);
    expect(journal.undelivered).toEqual([second]);
  });

  it('offers nothing that is pending or answered only', () => {
    const journal = new Journal();
    journal.put(row('a'));
    journal.put(row('b', { state: 'answered' }));
    expect(journal.undelivered).toEqual([]);
    expect(journal.position).toBe(0);
  });

  it('a position never goes back', () => {
    const journal = new Journal();
    journal.put(fact('b', 5));
    journal.put(fact('a', 4));
    expect(journal.position).toBe(5);
  });
});

describe('history', () => {
  it('is what was loaded and not asked for again yet, by key space', () => {
    const journal = new Journal();
    journal.merge([fact('a', 1), fact('onFailure/b', 2)], []);
    journal.put(fact('new', 3));
    expect(journal.hasUnseen('')).toBe(true);
    journal.seen('a');
    expect(journal.hasUnseen('a')).toBe(false);
    expect(journal.hasUnseen('onFailure/')).toBe(true);
    journal.seen('onFailure/b');
    expect(journal.hasUnseen('')).toBe(false);
  });

  it('the mark of a failed run is no call that the code would ask for', () => {
    const journal = new Journal();
    journal.merge([fact(FAILURE_KEY, 1, { kind: 'failure' })], []);
    expect(journal.hasUnseen('')).toBe(false);
  });
});

it('an event that answered a wait is known by its id', () => {
  const journal = new Journal();
  journal.merge([fact('w', 1, { kind: 'wait', event: 'paid', eventId: 'e1' })], []);
  journal.put(fact('w#2', 2, { kind: 'wait', event: 'paid', eventId: 'e2' }));
  expect(['e1', 'e2', 'e3'].map((id) => journal.hasTaken(id))).toEqual([true, true, false]);
});

it('messages are used up one by one, and none by nothing', () => {
  const journal = new Journal();
  journal.merge([], [message('m'), { ...message('n'), kind: 'completed', key: 'part' }]);
  journal.consume(new Set());
  expect(journal.inbox).toHaveLength(2);
  expect(journal.resultFor('part')?.id).toBe('n');
  journal.consume(new Set(['n']));
  expect(journal.inbox.map(({ id }) => id)).toEqual(['m']);
  expect(journal.resultFor('part')).toBeUndefined();
});

describe('what was left to others', () => {
  it('is remembered, but for children that have told it here', () => {
    const journal = new Journal();
    journal.put(row('a', { kind: 'invoke', dispatched: true }));
    journal.put(row('b', { kind: 'invoke', dispatched: true }));
    expect(journal.delegated).toBe(true);
    journal.put(fact('a', 1, { kind: 'invoke', dispatched: true }));
    journal.toldHere('a');
    expect(journal.delegated).toBe(true);
    journal.toldHere('b');
    expect(journal.delegated).toBe(false);
    expect(new Journal().delegated).toBe(false);
  });
});
