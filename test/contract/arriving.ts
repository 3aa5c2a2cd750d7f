import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { NotifyRequest } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

const request = (event: string, more: Partial<NotifyRequest> = {}): NotifyRequest => ({
  eventId: randomUUID(),
  event,
  data: '{"d":1}',
  runId: null,
  keepForMs: null,
  ...more,
});

export function arriving(bench: () => Bench): void {
  it('wakes every run that waits for the event, and no other', async () => {
    const b = bench();
    const event = b.id('paid');
    const [first, second] = [await b.waiting(event, 'one'), await b.waiting(event, 'two')];
    await b.waiting(b.id('other'), 'three');
    const sent = request(event);
    expect(await b.store.notify(sent)).toEqual({ woken: [first.runId, second.runId], kept: false });
    const tasks = await b.claim();
    expect(tasks.map(({ runId }) => runId).toSorted()).toEqual([first.runId, second.runId].toSorted());
    for (const task of tasks) {
      expect(await b.load(task)).toMatchObject({
        wanted: 1,
        inbox: [{ event, eventId: sent.eventId, data: sent.data, createdAt: b.now }],
      });
    }
  });

  it('repeated unchanged, gives each waiter the event once', async () => {
    const b = bench();
    const event = b.id('paid');
    await b.waiting(event);
    const sent = request(event, { keepForMs: 1000 });
    await b.store.notify(sent);
    await b.store.notify(sent);
    const [task] = await b.claim();
    expect((await b.load(task!)).inbox).toHaveLength(1);
  });

  it('keeps an event for one run until that run waits for it, whether it waits or not', async () => {
    const b = bench();
    const event = b.id('paid');
    const task = await b.claimed();
    const sent = request(event, { runId: task.runId });
    expect(await b.store.notify(sent)).toEqual({ woken: [], kept: true });
    expect(await b.store.notify(sent)).toEqual({ woken: [], kept: true });
    const { inbox, wanted } = await b.load(task);
    expect(inbox).toHaveLength(1);
    await b.commit(task, {
      wantedSeen: wanted,
      rows: [b.fact('wait', 1, sent.data, { kind: 'wait', event, eventId: sent.eventId })],
      consumed: [inbox[0]!.id],
    });
    expect((await b.load(task)).inbox).toEqual([]);
  });

  it('says that the named run was woken when it waits', async () => {
    const b = bench();
    const event = b.id('paid');
    const { runId } = await b.waiting(event);
    expect(await b.store.notify(request(event, { runId }))).toEqual({ woken: [runId], kept: false });
    expect(await b.claim()).toHaveLength(1);
  });

  it('neither wakes nor keeps for a run that has ended, and refuses one that never was', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.commit(task, { next: { to: 'completed', result: '1' } });
    expect(await b.store.notify(request('e', { runId: task.runId }))).toEqual({ woken: [], kept: false });
    await expect(b.store.notify(request('e', { runId: b.id('nobody') }))).rejects.toMatchObject({
      code: 'WF_RUN_NOT_FOUND',
    });
  });

  it('tells nobody when nobody waits, and keeps nothing that is not to be kept', async () => {
    const b = bench();
    const event = b.id('paid');
    expect(await b.store.notify(request(event))).toEqual({ woken: [], kept: false });
    const task = await b.waiting(event);
    expect(await b.store.collectKept(task.execution, [event])).toBe(false);
  });

  it('gives a kept event to every run that waits within its time, each once', async () => {
    const b = bench();
    const event = b.id('paid');
    expect(await b.store.notify(request(event, { keepForMs: 5000 }))).toEqual({ woken: [], kept: true });
    b.clock.pass(4999);
    for (const name of ['one', 'two']) {
      const task = await b.waiting(event, name);
      expect(await b.store.collectKept(task.execution, [event])).toBe(true);
      expect(await b.store.collectKept(task.execution, [event])).toBe(false);
      const [again] = await b.claim();
      const { inbox, wanted } = await b.load(again!);
      expect(inbox).toHaveLength(1);
      await b.commit(again!, {
        wantedSeen: wanted,
        rows: [b.fact('wait', 1, inbox[0]!.data, { kind: 'wait', event, eventId: inbox[0]!.eventId })],
        consumed: [inbox[0]!.id],
      });
      // a second wait of the same run does not get it again
      expect(await b.store.collectKept(task.execution, [event])).toBe(false);
    }
  });

  it('keeps the lease of a run that begins to wait until it was looked for kept events', async () => {
    const b = bench();
    const event = b.id('paid');
    const task = await b.claimed();
    const rows = [b.journalRow('wait', { kind: 'wait', event })];
    await b.commit(task, { rows, next: { to: 'suspend', dueAt: null, listens: true } });
    expect(await b.status(task)).toBe('running');
    expect(await b.store.collectKept(task.execution, [event], task)).toBe(false);
    expect(await b.status(task)).toBe('waiting');
    expect(await b.claim()).toEqual([]);
  });

  it('says that the run is due when something arrived between its wait and that look', async () => {
    const b = bench();
    const event = b.id('paid');
    const task = await b.claimed();
    const rows = [b.journalRow('wait', { kind: 'wait', event })];
    await b.commit(task, { rows, next: { to: 'suspend', dueAt: null, listens: true } });
    expect((await b.store.notify(request(event))).woken).toEqual([task.runId]);
    expect(await b.store.collectKept(task.execution, [event], task)).toBe(true);
    const [again] = await b.claim();
    expect((await b.load(again!)).inbox).toHaveLength(1);
  });

  it('gives what a transaction has kept to who began to wait before its commit, and nobody twice', async () => {
    const b = bench();
    const event = b.id('paid');
    const sent = request(event, { keepForMs: 5000 });
    await b.store.notify(sent);
    // these looked for kept events before that was committed, and found none
    await b.waiting(event, 'one');
    await b.waiting(event, 'two');
    expect(await b.store.deliverKept(sent.eventId)).toBe(true);
    expect(await b.store.deliverKept(sent.eventId)).toBe(false);
    const tasks = await b.claim();
    expect(tasks).toHaveLength(2);
    for (const task of tasks) expect((await b.load(task)).inbox).toMatchObject([{ eventId: sent.eventId }]);
    expect(await b.store.deliverKept(randomUUID())).toBe(false);
  });

  it('delivers at the next round what a sender that died has left kept and undelivered, and nobody twice', async () => {
    const b = bench();
    const [one, other] = [b.id('paid'), b.id('refunded')];
    const events = [one, other].map((event) => request(event, { keepForMs: 5000 }));
    for (const event of events) await b.store.notify(event);
    await b.waiting(one, 'one');
    await b.waiting(other, 'two');
    await b.waiting(b.id('else'), 'three');
    expect(await b.store.expire()).toMatchObject({ delivered: true });
    expect(await b.store.expire()).toMatchObject({ delivered: false });
    const inboxes = await Promise.all((await b.claim()).map(async (task) => (await b.load(task)).inbox));
    expect(
      inboxes
        .flat()
        .map(({ eventId }) => eventId)
        .toSorted(),
    ).toEqual(events.map(({ eventId }) => eventId).toSorted());
    expect(inboxes.map(({ length }) => length)).toEqual([1, 1]);
  });

  it('keeps no longer than asked', async () => {
    const b = bench();
    const event = b.id('paid');
    await b.store.notify(request(event, { keepForMs: 5000 }));
    b.clock.pass(5000);
    const task = await b.waiting(event);
    expect(await b.store.collectKept(task.execution, [event])).toBe(false);
  });

  it('deletes expired events and no others', async () => {
    const b = bench();
    const [short, long] = [b.id('short'), b.id('long')];
    await b.store.notify(request(short, { keepForMs: 1000 }));
    await b.store.notify(request(long, { keepForMs: 9000 }));
    b.clock.pass(1000);
    await b.store.expire();
    b.clock.pass(-1000); // back to when both were good: only one is still there
    const task = await b.waiting(long);
    expect(await b.store.collectKept(task.execution, [short])).toBe(false);
    expect(await b.store.collectKept(task.execution, [long])).toBe(true);
  });

  it('finds kept events by name, all of them in one look', async () => {
    const b = bench();
    const [x, y, z] = [b.id('x'), b.id('y'), b.id('z')];
    for (const event of [x, y, z]) await b.store.notify(request(event, { keepForMs: 5000 }));
    const task = await b.waiting(x);
    expect(await b.store.collectKept(task.execution, [x, y])).toBe(true);
    const [again] = await b.claim();
    expect((await b.load(again!)).inbox.map(({ event }) => event).toSorted()).toEqual([x, y].toSorted());
  });

  it('lists who waits, longest first, with the key of the wait and its timeout', async () => {
    const b = bench();
    const event = b.id('paid');
    const [early, since] = [await b.waiting(event, 'early'), b.now];
    b.clock.pass(1000);
    const late = await b.waiting(event, 'late', b.now + 60_000);
    expect(await b.store.waiters(event)).toEqual([
      { runId: early.runId, workflow: b.workflow, step: 'wait', since, timeoutAt: null },
      { runId: late.runId, workflow: b.workflow, step: 'wait', since: b.now, timeoutAt: b.now + 60_000 },
    ]);
    await b.store.cancel({ runIds: [early.runId] });
    expect((await b.store.waiters(event)).map(({ runId }) => runId)).toEqual([late.runId]);
    expect((await b.store.notify(request(event))).woken).toEqual([late.runId]);
  });
}
