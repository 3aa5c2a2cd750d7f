import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { NotifyRequest, OwnedRun, Taker, Task } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

const ROUNDS = 20;

/** Runs that are leased by the statement that wakes them. */
export function owning(bench: () => Bench): void {
  const taker = (b: Bench, more: Partial<Taker> = {}): Taker => ({
    worker: b.worker,
    queues: [b.workflow],
    places: 10,
    readRows: 32,
    ...more,
  });
  const event = (name: string, runId: string | null = null): NotifyRequest => ({
    eventId: randomUUID(),
    event: name,
    data: '7',
    runId,
    keepForMs: null,
  });
  const family = async (b: Bench, name = ''): Promise<{ parent: Task; child: Task }> => {
    const parent = await b.claimed(`parent${name}`);
    const row = b.row(b.id(`child${name}`), {
      parent: { execution: parent.execution, key: 'part', depth: 1, cascades: true },
    });
    await b.store.trigger([row]);
    const child = (await b.claim()).find(({ runId }) => runId === row.runId)!;
    await b.commit(parent, { next: { to: 'suspend', dueAt: null } });
    return { parent, child };
  };
  const end = (b: Bench, task: Task) => b.commit(task, { next: { to: 'completed', result: '"done"' } });

  /** The lease holds, and what was read with it is what a load gives. */
  async function holds(b: Bench, { task, loaded }: OwnedRun): Promise<void> {
    expect(await b.beat(task.taskId)).toBe(task.fence);
    expect(loaded).not.toBeNull();
    const { keyed: _keyed, step, ...read } = loaded!;
    const { keyed: _same, step: theSame, ...load } = await b.load(task);
    expect(read).toEqual(load);
    expect(step ?? null).toBe(theSame ?? null);
  }

  it('a run that is sent an event is leased and read, and nobody can claim it', async () => {
    const b = bench();
    const name = b.id('paid');
    const before = await b.waiting(name);
    await b.store.notify(event('another', before.runId));
    b.clock.pass(1);
    const sent = event(name, before.runId);
    const { owned, ...result } = await b.store.notify(sent, undefined, taker(b));
    expect(result).toEqual({ woken: [before.runId], kept: false });
    expect(owned).toHaveLength(1);
    const { task, loaded } = owned![0]!;
    expect(task).toEqual({ ...before, fence: before.fence + 1, flow: false });
    expect(loaded).toMatchObject({
      wanted: 2,
      turn: 0,
      now: b.now,
      rows: [{ key: 'wait', state: 'pending' }],
      inbox: [{ event: 'another' }, { event: name, eventId: sent.eventId, data: '7' }],
    });
    await holds(b, owned![0]!);
    expect(await b.claim()).toEqual([]);
    expect(await b.commit(task, { wantedSeen: 2, next: { to: 'suspend', dueAt: null } })).toBe('committed');
  });

  it('all that wait for an event, as far as there are places; the others are due', async () => {
    const b = bench();
    const name = b.id('all');
    for (const run of ['a', 'b', 'c']) await b.waiting(name, run);
    const { woken, owned } = await b.store.notify(event(name), undefined, taker(b, { places: 2 }));
    expect(woken).toHaveLength(3);
    expect(owned).toHaveLength(2);
    for (const one of owned!) await holds(b, one);
    const rest = await b.claim();
    const ids = [...owned!.map(({ task }) => task.runId), ...rest.map(({ runId }) => runId)];
    expect(ids.toSorted()).toEqual(woken.toSorted());
  });

  it('parents of children that have ended, as far as there are places; the others are due', async () => {
    const b = bench();
    await b.store.settle();
    const families = [await family(b, '1'), await family(b, '2'), await family(b, '3')];
    for (const { child } of families) await end(b, child);
    const { reported, due, owned } = await b.store.report(taker(b, { places: 2 }));
    expect({ reported, due, owned: owned.length }).toEqual({ reported: 3, due: true, owned: 2 });
    for (const one of owned) {
      await holds(b, one);
      expect(one.loaded).toMatchObject({ inbox: [{ kind: 'completed', key: 'part', data: '"done"' }] });
    }
    expect(await b.claim()).toHaveLength(1);
    expect(await b.store.report(taker(b))).toEqual({ reported: 0, due: false, owned: [] });
  });

  it('nobody is told of a child whose parent knows already, once that is said', async () => {
    const b = bench();
    await b.store.settle();
    const one = await family(b, '1');
    const other = await family(b, '2');
    await b.store.markReported([one.child.execution]);
    for (const { child } of [one, other]) await end(b, child);
    expect(await b.store.expire()).toMatchObject({ owed: true });
    await b.store.markReported([one.child.execution, one.child.execution, '999999999']);
    const { reported, owned } = await b.store.report(taker(b));
    expect({ reported, owned: owned.map(({ task }) => task.runId) }).toEqual({
      reported: 1,
      owned: [other.parent.runId],
    });
    await b.store.markReported([one.child.execution, other.child.execution]);
    await b.store.markReported([]);
    expect(await b.claim()).toEqual([]);
  });

  it('a parent of two that have ended once, with both', async () => {
    const b = bench();
    await b.store.settle();
    const { parent, child } = await family(b);
    const [again] = (await b.store.notify(event('x', parent.runId), undefined, taker(b))).owned!;
    const other = b.row(b.id('other'), {
      parent: { execution: parent.execution, key: 'other', depth: 1, cascades: true },
    });
    await b.store.trigger([other]);
    const second = (await b.claim()).find(({ runId }) => runId === other.runId)!;
    await b.commit(again!.task, { wantedSeen: 1, next: { to: 'suspend', dueAt: null } });
    for (const task of [child, second]) await end(b, task);
    const { owned } = await b.store.report(taker(b));
    expect(owned).toHaveLength(1);
    await holds(b, owned[0]!);
    expect(new Set(owned[0]!.loaded!.inbox.map(({ key }) => key))).toEqual(new Set(['other', 'part', null]));
  });

  it('not while its lease is held: the commit that suspends it leaves it due', async () => {
    const b = bench();
    const task = await b.claimed();
    const { owned } = await b.store.notify(event(b.id('paid'), task.runId), undefined, taker(b));
    expect(owned).toEqual([]);
    expect(await b.beat(task.taskId)).toBe(task.fence);
    expect(await b.commit(task, { next: { to: 'suspend', dueAt: null } })).toBe('due');
    expect(await b.claim()).toMatchObject([{ taskId: task.taskId, fence: task.fence + 1 }]);
  });

  it('not when it has a flow-control key: it is woken in its line', async () => {
    const b = bench();
    const flow = { key: b.id('key'), parallelism: 1, rate: null, periodMs: null };
    await b.store.trigger([b.row(b.id('run'), { flow })]);
    const claim = async (): Promise<readonly Task[]> =>
      (await b.store.claimFlow(b.worker, [b.workflow], 10)).tasks;
    const [task] = await claim();
    await b.commit(task!, { next: { to: 'suspend', dueAt: null } });
    const { owned } = await b.store.notify(event(b.id('paid'), task!.runId), undefined, taker(b));
    expect(owned).toEqual([]);
    expect(await claim()).toMatchObject([{ taskId: task!.taskId }]);
  });

  it.each(['its queue is another', 'nobody has a place'])('not when %s: a claim finds it', async (why) => {
    const b = bench();
    const before = await b.waiting(b.id('paid'));
    const other = why.includes('queue') ? taker(b, { queues: ['another'] }) : null;
    const { owned = [] } = await b.store.notify(event(b.id('paid'), before.runId), undefined, other);
    expect(owned).toEqual([]);
    expect(await b.claim()).toMatchObject([{ taskId: before.taskId, fence: before.fence + 1 }]);
  });

  it('not while it waits for its singleton key', async () => {
    const b = bench();
    const singleton = { key: b.id('key'), policy: 'queue' as const };
    await b.store.trigger([b.row(b.id('holder'), { singleton })]);
    await b.store.trigger([b.row(b.id('waits'), { singleton })]);
    const { owned } = await b.store.notify(event('x', b.id('waits')), undefined, taker(b));
    expect(owned).toEqual([]);
  });

  it('sent again after a lost reply, not a second time; the first lease is told by the beat', async () => {
    const b = bench();
    const { runId, taskId, fence } = await b.waiting(b.id('paid'));
    await b.store.register(b.worker, 'host', 1, []);
    const sent = event(b.id('paid'), runId);
    expect((await b.store.notify(sent, undefined, taker(b))).owned).toHaveLength(1);
    expect((await b.store.notify(sent, undefined, taker(b))).owned).toEqual([]);
    const { leases } = await b.store.beat(b.worker, []);
    expect(leases.filter((lease) => lease.taskId === taskId)).toEqual([{ taskId, fence: fence + 1 }]);
    expect((await b.load({ taskId, fence: fence + 1 })).inbox).toHaveLength(1);
  });

  it('what arrives after it was read leaves it due', async () => {
    const b = bench();
    const { runId } = await b.waiting(b.id('paid'));
    const [one] = (await b.store.notify(event(b.id('paid'), runId), undefined, taker(b))).owned!;
    await b.store.notify(event('late', runId), undefined, taker(b));
    const wantedSeen = one!.loaded!.wanted;
    expect(await b.commit(one!.task, { wantedSeen, next: { to: 'suspend', dueAt: null } })).toBe('due');
  });

  it('a journal that is too long is left to a load', async () => {
    const b = bench();
    const task = await b.claimed();
    const rows = [b.fact('a', 1), b.fact('b', 2), b.journalRow('wait', { kind: 'wait', event: b.id('e') })];
    await b.commit(task, { rows, next: { to: 'suspend', dueAt: null } });
    const [one] = (await b.store.notify(event(b.id('e'), task.runId), undefined, taker(b, { readRows: 2 })))
      .owned!;
    expect(one!.loaded).toBeNull();
    expect((await b.load(one!.task)).rows).toHaveLength(3);
  });

  it('of two workers that wake a run at the same time one gets it, and learns of both events', async () => {
    const b = bench();
    for (let i = 0; i < ROUNDS; i++) {
      const { runId, taskId } = await b.waiting(b.id(`paid ${i}`), `run ${i}`);
      const other = taker(b, { worker: randomUUID() });
      const both = await Promise.all(
        [taker(b), other].map((one) => b.store.notify(event(b.id(`paid ${i}`), runId), undefined, one)),
      );
      const owned = both.flatMap((one) => one.owned ?? []);
      expect(owned.map(({ task }) => task.taskId)).toEqual([taskId]);
      const { task, loaded } = owned[0]!;
      expect((await b.load(task)).inbox).toHaveLength(2);
      const wantedSeen = loaded!.wanted;
      const commit = await b.commit(task, { wantedSeen, next: { to: 'suspend', dueAt: null } });
      // what was not read is not lost: the commit finds that there is more
      expect(commit).toBe(loaded!.inbox.length === 2 ? 'committed' : 'due');
    }
  });

  it('a cancel at the same time ends it, whoever came first', async () => {
    const b = bench();
    for (let i = 0; i < ROUNDS; i++) {
      const before = await b.waiting(b.id(`paid ${i}`), `run ${i}`);
      const [{ owned = [] }] = await Promise.all([
        b.store.notify(event(b.id(`paid ${i}`), before.runId), undefined, taker(b)),
        b.store.cancel({ runIds: [before.runId] }),
      ]);
      expect(await b.status(before)).toBe('cancelled');
      for (const { task } of owned) expect(await end(b, task)).toBe('lost');
    }
    expect(await b.claim()).toEqual([]);
  });
}
