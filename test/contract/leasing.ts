import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Bench } from './support.js';

const HOST = 'host';
/** Registered and silent for longer than this: everybody but those who are asked for. */
const AT_ONCE = 0;
const NOBODY = 3_600_000;

export function leasing(bench: () => Bench): void {
  it('claims each due task once, however many claim at the same time', async () => {
    const b = bench();
    await b.store.trigger(Array.from({ length: 60 }, (_, i) => b.row(b.id(`r${i}`))));
    const claims = await Promise.all(Array.from({ length: 8 }, () => b.claim(20, null, randomUUID())));
    let ids = claims.flat().map(({ taskId }) => taskId);
    // who came too late for the unlocked rows finds the rest with the next claim
    ids = [...ids, ...(await b.claim()).map(({ taskId }) => taskId)];
    expect(ids).toHaveLength(60);
    expect(new Set(ids).size).toBe(60);
  });

  it('claims no more than the limit, the longest due first', async () => {
    const b = bench();
    await b.store.trigger(
      [30, 10, 20, 40].map((ago) => b.row(b.id(`r${ago}`), { due: { at: b.now - ago } })),
    );
    expect((await b.claim(3)).map(({ runId }) => runId).toSorted()).toEqual(
      ['r20', 'r30', 'r40'].map((name) => b.id(name)),
    );
    expect((await b.claim(3)).map(({ runId }) => runId)).toEqual([b.id('r10')]);
  });

  it('divides the limit among several workflows', async () => {
    const [a, b] = [bench(), bench()];
    const other = `${b.workflow}-other`;
    await a.store.trigger([
      a.row(a.id('a1'), { due: { at: a.now - 4 } }),
      a.row(a.id('o1'), { workflow: other, due: { at: a.now - 3 } }),
      a.row(a.id('a2'), { due: { at: a.now - 2 } }),
      a.row(a.id('o2'), { workflow: other, due: { at: a.now - 1 } }),
    ]);
    const { tasks } = await a.store.claim(a.worker, [a.workflow, other], 3, null);
    expect(tasks.map(({ runId }) => runId).toSorted()).toEqual(['a1', 'a2', 'o1'].map((name) => a.id(name)));
  });

  it('skips what was due before the floor, and finds it without one', async () => {
    const b = bench();
    await b.store.trigger([b.row(b.id('old'), { due: { at: b.now - 10_000 } }), b.row(b.id('new'))]);
    expect((await b.claim(10, b.now - 5000)).map(({ runId }) => runId)).toEqual([b.id('new')]);
    expect((await b.claim(10)).map(({ runId }) => runId)).toEqual([b.id('old')]);
  });

  it('leaves the tasks of workflows that were not named', async () => {
    const b = bench();
    await b.store.trigger([b.row(b.id('r'))]);
    expect((await b.store.claim(b.worker, ['nobody'], 10, null)).tasks).toEqual([]);
    expect(await b.claim()).toHaveLength(1);
  });

  it('claims what becomes due within a lead as well, and says when it does', async () => {
    const b = bench();
    for (const inMs of [0, 10, 11]) await b.store.trigger([b.row(b.id(`in ${inMs}`), { due: { inMs } })]);
    const claim = (leadMs?: number) => b.store.claim(b.worker, [b.workflow], 10, null, 0, [0], 32, leadMs);
    const { tasks, early, nextDueAt } = await claim(10);
    expect(tasks.map(({ runId }) => runId)).toEqual([b.id('in 0'), b.id('in 10')]);
    expect([...early!]).toEqual([[tasks[1]!.taskId, b.now + 10]]);
    expect(nextDueAt).toBe(b.now + 11);
    expect((await claim()).tasks).toEqual([]);
    b.clock.pass(11);
    expect((await claim()).tasks).toHaveLength(1);
  });

  it('tells when the next of these workflows is due, also when nothing is claimed', async () => {
    const b = bench();
    await b.store.trigger([
      b.row(b.id('later'), { due: { inMs: 9000 } }),
      b.row(b.id('next'), { due: { inMs: 4000 } }),
      b.row(b.id('other'), { due: { inMs: 1 }, workflow: 'another' }),
    ]);
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({
      tasks: [],
      now: b.now,
      nextDueAt: b.now + 4000,
      flowDueAt: null,
      priorities: [0],
    });
    await b.store.cancel({ workflow: b.workflow });
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ nextDueAt: null });
  });

  it('takes a run that waits for an event alone for one that is never due by time', async () => {
    const b = bench();
    await b.waiting('never');
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({
      tasks: [],
      nextDueAt: null,
    });
  });

  it('gives a lease back after the delay, with a fence that shuts its old holder out', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.store.release([task], 2000);
    expect(await b.load(task)).toBeNull();
    expect(await b.commit(task, { rows: [b.fact('a', 1)] })).toBe('lost');
    expect(await b.claim()).toEqual([]);
    b.clock.pass(2000);
    const [again] = await b.claim();
    expect(again!.fence).toBeGreaterThan(task.fence);
    expect((await b.load(again!)).rows).toEqual([]);
  });

  it('gives back under the present fence only, and twice is once', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.store.release([{ taskId: task.taskId, fence: task.fence - 1 }], 0);
    expect(await b.load(task)).not.toBeNull();
    await b.store.release([task, task], 0);
    const [again] = await b.claim();
    await b.store.release([task], 0);
    expect(await b.load(again!)).not.toBeNull();
  });

  it('moves a lease to the worker that executes it, and not when it has moved on', async () => {
    const b = bench();
    const task = await b.claimed();
    const executor = randomUUID();
    await b.store.register(executor, HOST, 1, []);
    expect(await b.store.adopt(task, executor)).toBe(true);
    const lease = { taskId: task.taskId, fence: task.fence };
    expect((await b.store.beat(executor, [])).leases).toEqual([lease]);
    expect(await b.commit(task, { next: { to: 'suspend', dueAt: null } })).toBe('committed');
    expect(await b.store.adopt(task, executor)).toBe(false);
    expect(await b.store.adopt({ ...task, fence: task.fence + 1 }, executor)).toBe(false);
  });

  it('tells a beating worker what is leased to it, and what of that it works on still holds', async () => {
    const b = bench();
    expect(await b.store.beat(b.worker, [])).toEqual({ alive: false, leases: [], valid: [] });
    await b.store.register(b.worker, HOST, 1, []);
    const [kept, lost] = [await b.claimed('kept'), await b.claimed('lost')];
    await b.store.cancel({ runIds: [lost.runId] });
    const lease = { taskId: kept.taskId, fence: kept.fence };
    const beat = await b.store.beat(b.worker, [kept, lost, { taskId: kept.taskId, fence: kept.fence + 1 }]);
    expect(beat).toEqual({ alive: true, leases: [lease], valid: [lease] });
  });

  it('frees what silent workers hold, and forgets them', async () => {
    const b = bench();
    const sweeper = randomUUID();
    await b.store.register(b.worker, HOST, 1, []);
    await b.store.register(sweeper, HOST, 2, []);
    const task = await b.claimed();
    await b.store.sweep(sweeper, NOBODY); // what other tests have left
    expect(await b.store.sweep(sweeper, NOBODY)).toBe(0);
    expect(await b.load(task)).not.toBeNull();
    expect(await b.store.sweep(sweeper, AT_ONCE)).toBeGreaterThanOrEqual(1);
    expect(await b.load(task)).toBeNull();
    expect((await b.store.beat(b.worker, [task])).alive).toBe(false);
    const [again] = await b.claim(10, null, sweeper);
    expect(again).toMatchObject({ runId: task.runId, fence: task.fence + 2 });
    expect((await b.load(again!)).lost).toBe(1);
  });

  it('never frees what the sweeping worker holds itself', async () => {
    const b = bench();
    await b.store.register(b.worker, HOST, 1, []);
    const task = await b.claimed();
    await b.store.sweep(b.worker, AT_ONCE);
    expect(await b.load(task)).not.toBeNull();
    expect((await b.store.beat(b.worker, [])).alive).toBe(true);
  });

  it('frees what is leased to a worker that is not registered', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.store.sweep(randomUUID(), NOBODY);
    expect(await b.load(task)).toBeNull();
  });

  it('counts losses as long as the journal does not grow, and starts over once it has', async () => {
    const b = bench();
    await b.store.trigger([b.row(b.id('r'))]);
    const lose = async (): Promise<number> => {
      await b.store.sweep(randomUUID(), NOBODY); // b.worker is not registered
      const [task] = await b.claim();
      const { lost } = await b.load(task!);
      return lost;
    };
    await b.claim();
    expect([await lose(), await lose(), await lose()]).toEqual([1, 2, 3]);
    await b.store.sweep(randomUUID(), NOBODY);
    const [task] = await b.claim();
    await b.commit(task!, { rows: [b.fact('a', 1)] });
    expect([await lose(), await lose()]).toEqual([1, 2]);
  });

  it('forgets the losses of a run that could wait', async () => {
    const b = bench();
    await b.claimed();
    await b.store.sweep(randomUUID(), NOBODY);
    const [task] = await b.claim();
    await b.commit(task!, { next: { to: 'suspend', dueAt: b.now } });
    const [again] = await b.claim();
    expect((await b.load(again!)).lost).toBe(0);
  });

  it('leaves what a worker that unregisters still holds to the next sweep', async () => {
    const b = bench();
    await b.store.register(b.worker, HOST, 1, []);
    const task = await b.claimed();
    await b.store.unregister(b.worker);
    await b.store.unregister(b.worker);
    await b.store.sweep(randomUUID(), NOBODY);
    expect(await b.load(task)).toBeNull();
  });

  it('makes a run due that asks again, with a longer gather when it was late', async () => {
    const b = bench();
    const task = await b.waiting('never');
    await b.store.reactivate(task.execution, true);
    const [again] = await b.claim();
    expect(await b.load(again!)).toMatchObject({ wanted: 1, gather: 1 });
    await b.store.reactivate(task.execution, false);
    expect(await b.load(again!)).toMatchObject({ wanted: 2, gather: 1 });
  });
}
