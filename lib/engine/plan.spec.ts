import { describe, expect, it } from 'vitest';
import { Journal, type JournalRow } from './journal.js';
import { isExecutable, isWait, mismatchIn, pendingRow, planFor, unstarted, type Beside } from './plan.js';
import type { Ask, Request } from './replay.js';

const NOW = 1000;
let order = 0;
const ask = (key: string, request: Partial<Request>): Ask => ({
  key,
  order: order++,
  request: { kind: 'step', name: key, ...request },
});
const step = (key: string): Ask => ask(key, { execute: () => 1 });
const sleep = (key: string, ms: number): Ask => ask(key, { kind: 'sleep', sleep: { ms } });
const wait = (key: string, timeoutMs?: number | null): Ask =>
  ask(key, { kind: 'wait', event: 'paid', ...(timeoutMs !== undefined && { timeoutMs }) });

/** A journal in which these asks were recorded at NOW. */
function recorded(asks: readonly Ask[], more: Partial<JournalRow> = {}): Journal {
  const journal = new Journal();
  journal.merge(
    asks.map((one) => ({ ...pendingRow(one, NOW), ...more })),
    [],
  );
  return journal;
}

describe('a step with flow control of its own', () => {
  const flow = { key: 'k', parallelism: 1, rate: null, periodMs: null };
  const limited = ask('limited', { execute: () => 1, flow });

  it('becomes a task although nothing else is outstanding, so that a claim governs it', () => {
    expect(planFor(new Journal(), [limited], NOW)).toEqual({
      do: 'suspend',
      dispatch: [{ ...pendingRow(limited, NOW), dispatched: true }],
      dueAt: null,
    });
  });

  it('and once it is one, nothing is to be done here', () => {
    expect(planFor(recorded([limited], { dispatched: true }), [limited], NOW)).toEqual({
      do: 'suspend',
      dispatch: [],
      dueAt: null,
    });
  });

  it('also one that was tried inline before it had any: the retry waits until it is due', () => {
    const plan = planFor(recorded([limited], { attempts: 1, wakeAt: NOW + 5 }), [limited], NOW);
    expect(plan).toMatchObject({
      do: 'suspend',
      dispatch: [{ dispatched: true, attempts: 1, wakeAt: NOW + 5 }],
    });
  });
});

describe('a first row', () => {
  it('says what is waited for, and since when', () => {
    expect(pendingRow(ask('pay', { name: 'Pay.capture', digest: 'd1' }), NOW)).toEqual({
      key: 'pay',
      name: 'Pay.capture',
      kind: 'step',
      state: 'pending',
      position: null,
      answer: null,
      attempts: 0,
      askedAt: NOW,
      finishedAt: null,
      wakeAt: null,
      event: null,
      eventId: null,
      dispatched: false,
      digest: 'd1',
      request: null,
    });
  });

  it.each<[string, Ask, number | null]>([
    ['of a sleep wakes so much later', sleep('s', 50), 1050],
    ['of a sleep until a moment wakes then', ask('s', { kind: 'sleep', sleep: { until: 7 } }), 7],
    ['of a wait with a timeout wakes then', wait('w', 20), 1020],
    ['of a wait with a timeout of nothing wakes at once', wait('w', 0), 1000],
    ['of a wait without one never wakes', wait('w'), null],
    ['of a wait with none never wakes', wait('w', null), null],
    ['of a step never wakes: its timeout is that of an attempt', ask('a', { timeoutMs: 5 }), null],
  ])('%s', (_, one, wakeAt) => expect(pendingRow(one, NOW).wakeAt).toBe(wakeAt));

  it('of a wait carries its event', () => expect(pendingRow(wait('w'), NOW).event).toBe('paid'));
});

it('steps are executable, waits are not', () => {
  expect([step('a'), sleep('s', 1), wait('w')].map(isExecutable)).toEqual([true, false, false]);
});

describe('one step and nothing else outstanding', () => {
  const only = step('a');

  it('is executed here, the first time', () => {
    expect(planFor(new Journal(), [only], NOW)).toEqual({ do: 'execute', ask: only, attempt: 1 });
  });

  it('is executed again once its backoff is over, and counts its attempts', () => {
    const journal = recorded([only], { attempts: 2, wakeAt: NOW });
    expect(planFor(journal, [only], NOW)).toEqual({ do: 'execute', ask: only, attempt: 3 });
    const lost = recorded([only], { attempts: 1 });
    expect(planFor(lost, [only], NOW)).toEqual({ do: 'execute', ask: only, attempt: 2 });
  });

  it('holds nothing while its backoff lasts', () => {
    const journal = recorded([only], { attempts: 1, wakeAt: NOW + 1 });
    expect(planFor(journal, [only], NOW)).toEqual({ do: 'suspend', dispatch: [], dueAt: NOW + 1 });
  });

  it('that is a task already is left to its task, whose backoff is its own', () => {
    const journal = recorded([only], { dispatched: true, wakeAt: NOW - 1 });
    expect(planFor(journal, [only], NOW)).toEqual({ do: 'suspend', dispatch: [], dueAt: null });
  });
});

describe('more than one thing outstanding', () => {
  it('parallel steps become tasks, in the order asked', () => {
    const asks = [step('a'), step('b')];
    const plan = planFor(new Journal(), asks, NOW);
    expect(plan).toEqual({
      do: 'suspend',
      dispatch: asks.map((one) => ({ ...pendingRow(one, NOW), dispatched: true })),
      dueAt: null,
    });
  });

  it('a step beside a sleep becomes a task, and the sleep says when the run is due', () => {
    const [a, s] = [step('a'), sleep('s', 50)];
    expect(planFor(recorded([s]), [a, s], NOW)).toEqual({
      do: 'suspend',
      dispatch: [{ ...pendingRow(a, NOW), dispatched: true }],
      dueAt: NOW + 50,
    });
  });

  it('the earliest of all waits counts, also when it comes last', () => {
    const asks = [sleep('s', 50), wait('w', 70), wait('forever'), sleep('t', 10)];
    expect(planFor(recorded(asks), asks, NOW)).toEqual({ do: 'suspend', dispatch: [], dueAt: NOW + 10 });
  });

  it('a step that is a task already does not become one again', () => {
    const asks = [step('a'), step('b')];
    const plan = planFor(recorded(asks, { dispatched: true }), asks, NOW);
    expect(plan).toEqual({ do: 'suspend', dispatch: [], dueAt: null });
  });

  it('a step in backoff that is joined by another ask keeps its attempts and its moment', () => {
    const [a, w] = [step('a'), wait('w')];
    const journal = recorded([a], { attempts: 2, wakeAt: NOW + 9 });
    expect(planFor(journal, [a, w], NOW)).toMatchObject({
      dispatch: [{ key: 'a', attempts: 2, wakeAt: NOW + 9, dispatched: true }],
      dueAt: null,
    });
  });
});

describe('steps that may execute beside each other here', () => {
  const [a, b, c] = [step('a'), step('b'), step('c')];
  const beside = (executing: readonly Ask[], places: number, mayWait = true): Beside => ({
    executes: (key) => executing.some((one) => one.key === key),
    places,
    mayWait,
  });
  const taskOf = (one: Ask): JournalRow => ({ ...pendingRow(one, NOW), dispatched: true });

  it('are started, as many as there are places for; the others wait', () => {
    expect(planFor(new Journal(), [a, b, c], NOW, beside([], 3))).toEqual({ do: 'start', asks: [a, b, c] });
    expect(planFor(new Journal(), [a, b, c], NOW, beside([a], 1))).toEqual({ do: 'start', asks: [b] });
    expect(planFor(new Journal(), [a, b], NOW, beside([a], 0))).toEqual({ do: 'start', asks: [] });
  });

  it('are waited for while they execute, also when one is left', () => {
    expect(planFor(new Journal(), [a, b], NOW, beside([a, b], 1))).toEqual({ do: 'start', asks: [] });
    expect(planFor(new Journal(), [a], NOW, beside([a], 1, false))).toEqual({ do: 'start', asks: [] });
  });

  it('one alone is executed inline', () => {
    expect(planFor(new Journal(), [a], NOW, beside([], 1))).toEqual({ do: 'execute', ask: a, attempt: 1 });
  });

  it('become tasks once some have waited too long for a place', () => {
    expect(planFor(new Journal(), [a, b], NOW, beside([a], 0, false))).toEqual({
      do: 'suspend',
      dispatch: [taskOf(a), taskOf(b)],
      dueAt: null,
    });
  });

  it('become tasks, those that execute too, as soon as anything else is outstanding', () => {
    const others = [
      sleep('s', 50),
      ask('call', { kind: 'call', call: '{}' }),
      ask('child', { kind: 'invoke' }),
    ];
    for (const other of others) {
      const journal = other.request.sleep ? recorded([other]) : new Journal();
      const plan = planFor(journal, [a, b, other], NOW, beside([a], 9));
      expect(plan).toMatchObject({ do: 'suspend', dispatch: expect.arrayContaining([taskOf(a), taskOf(b)]) });
    }
    const tried = recorded([b], { attempts: 1, wakeAt: NOW + 9 });
    expect(planFor(tried, [a, b], NOW, beside([a], 9))).toMatchObject({
      do: 'suspend',
      dispatch: [taskOf(a), { key: 'b', attempts: 1, wakeAt: NOW + 9, dispatched: true }],
    });
  });
});

it('one wait alone is only waited for', () => {
  const w = wait('w');
  expect(planFor(recorded([w]), [w], NOW)).toEqual({ do: 'suspend', dispatch: [], dueAt: null });
});

it('code that asks for nothing is listened to', () => {
  expect(planFor(new Journal(), [], NOW)).toEqual({ do: 'listen' });
});

describe('a key that comes back as another kind', () => {
  it('is named with both kinds', () => {
    const journal = recorded([sleep('a', 1)]);
    const error = mismatchIn(journal, [step('new'), step('a')], 'r1');
    expect(error).toMatchObject({ code: 'WF_NON_DETERMINISM', step: 'a', recorded: 'sleep', asked: 'step' });
  });

  it('is not what a fitting or a new call is', () => {
    expect(mismatchIn(recorded([step('a')]), [step('a'), step('new')], 'r1')).toBeUndefined();
  });
});

describe('a call that the engine makes', () => {
  const call = ask('c', { kind: 'call', call: '{"url":"x"}' });

  it('is never made here: it gets a task of its own and its request beside it', () => {
    expect(planFor(new Journal(), [call], NOW)).toEqual({
      do: 'suspend',
      dispatch: [{ ...pendingRow(call, NOW), dispatched: true, request: '{"url":"x"}' }],
      dueAt: null,
    });
  });

  it('is waited for once it has its task', () => {
    const journal = recorded([call], { dispatched: true });
    expect(planFor(journal, [call], NOW)).toEqual({ do: 'suspend', dispatch: [], dueAt: null });
  });
});

it('child runs that have no row are still to be started', () => {
  const [a, b] = ['a', 'b'].map((key) =>
    ask(key, { kind: 'invoke', start: async () => ({ runId: key, here: null }) }),
  );
  expect(unstarted(recorded([a!]), [a!, b!, step('s')])).toEqual([b]);
});

it('sleeps, waits and polls have their row at once, other asks when something is done for them', () => {
  const others = [step('a'), ask('i', { kind: 'invoke' }), ask('h', { kind: 'webhook' })];
  const poll = ask('p', { kind: 'poll', execute: () => 1, poll: { everyMs: 1, timeoutMs: 1 } });
  const rows = [sleep('s', 1), wait('w'), poll, ...others].map(isWait);
  expect(rows).toEqual([true, true, true, false, false, false]);
});
