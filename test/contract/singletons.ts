import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { SingletonPolicy } from '../../lib/engine/singleton.js';
import type { Task, Triggered, TriggerRow } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

/** One run at a time for a key. */
export function singletons(bench: () => Bench): void {
  const start = async (
    b: Bench,
    name: string,
    policy: SingletonPolicy,
    more: Partial<TriggerRow> = {},
  ): Promise<Triggered> => {
    const row = b.row(b.id(name), { singleton: { key: b.id('key'), policy }, ...more });
    return (await b.store.trigger([row]))[0]!;
  };
  const finish = (b: Bench, task: Task): Promise<string> =>
    b.commit(task, { next: { to: 'completed', result: '1' } });
  const names = (b: Bench, tasks: readonly Task[]): string[] =>
    tasks.map(({ runId }) => runId.replace(`-${b.workflow}`, ''));

  it('queue: one after the other, in the order they came', async () => {
    const b = bench();
    for (const name of ['a', 'b', 'c']) expect((await start(b, name, 'queue')).created).toBe(true);
    for (const name of ['a', 'b', 'c']) {
      const tasks = await b.claim();
      expect(names(b, tasks)).toEqual([name]);
      expect(await b.claim()).toEqual([]);
      await finish(b, tasks[0]!);
      expect(await b.claim()).toEqual([]);
      await b.store.handOver([b.id('key')]);
    }
    expect(await b.store.handOver([b.id('key')])).toBe(0);
  });

  it('queue: those of one call stand in line as they were given', async () => {
    const b = bench();
    const singleton = { key: b.id('key'), policy: 'queue' } as const;
    const order = ['d', 'a', 'c', 'b'];
    await b.store.triggerAll(order.map((name) => b.row(b.id(name), { singleton })));
    for (const name of order) {
      const [task] = await b.claim();
      expect(names(b, [task!])).toEqual([name]);
      await finish(b, task!);
      await b.store.handOver([b.id('key')]);
    }
  });

  it('queue: what was left undone by a process that died after an end is found by any other', async () => {
    const b = bench();
    await start(b, 'a', 'queue');
    await start(b, 'b', 'queue');
    // of the tests before
    await b.store.settle();
    await b.store.handOver(null);
    expect(await b.store.expire()).toMatchObject({ owed: false });
    await finish(b, (await b.claim())[0]!);
    expect(await b.store.expire()).toMatchObject({ owed: true });
    expect(await b.store.handOver(null)).toBe(1);
    expect(await b.store.expire()).toMatchObject({ owed: false });
    expect(names(b, await b.claim())).toEqual(['b']);
  });

  it('queue: an event for one that waits does not start it, and is there when it starts', async () => {
    const b = bench();
    await start(b, 'a', 'queue');
    const waiting = await start(b, 'b', 'queue');
    const event = b.id('event');
    await b.store.notify({ eventId: randomUUID(), event, data: '7', runId: b.id('b'), keepForMs: null });
    const [task, ...none] = await b.claim();
    expect(none).toEqual([]);
    expect((await b.store.find(b.id('b')))!.status).toBe('pending');
    await finish(b, task!);
    await b.store.handOver([b.id('key')]);
    const [next] = await b.claim();
    expect(next!.execution).toBe(waiting.header.execution);
    const [loaded] = await b.store.load([{ ...next!, position: 0 }]);
    expect(loaded!.inbox).toMatchObject([{ event, data: '7' }]);
    expect(loaded!.header.singleton).toBe(b.id('key'));
  });

  it('queue: one that is cancelled leaves the line, and one that may start later does not before', async () => {
    const b = bench();
    await start(b, 'a', 'queue');
    await start(b, 'b', 'queue');
    await start(b, 'c', 'queue', { due: { inMs: 5000 } });
    await b.store.cancel({ runIds: [b.id('b')] });
    await finish(b, (await b.claim())[0]!);
    expect(await b.store.handOver([b.id('key')])).toBe(1);
    expect(await b.claim()).toEqual([]);
    b.clock.pass(5000);
    expect(names(b, await b.claim())).toEqual(['c']);
  });

  it('queue: in the line of a flow-control key only once it holds the singleton key, with its own priority', async () => {
    const b = bench();
    const flow = { key: b.id('flow'), parallelism: 9, rate: null, periodMs: null };
    for (const name of ['a', 'b']) await start(b, name, 'queue', { flow, priority: 3 });
    const claim = async (): Promise<Task[]> => [
      ...(await b.store.claimFlow(b.worker, [b.workflow], 9)).tasks,
    ];
    const [task, ...none] = await claim();
    expect(none).toEqual([]);
    expect(await b.store.claim(b.worker, [b.workflow], 9, null)).toMatchObject({
      priorities: [],
      flowDueAt: null,
    });
    expect(await b.store.flows(b.id('flow'), null, 1)).toMatchObject([{ running: 1, waiting: 0 }]);
    await finish(b, task!);
    await b.store.handOver(null);
    expect(names(b, await claim())).toEqual(['b']);
  });

  it('skip: the run that holds the key is given, whatever its payload, until it has ended', async () => {
    const b = bench();
    const first = await start(b, 'a', 'skip');
    expect(first.created).toBe(true);
    const other = await start(b, 'b', 'skip', { payload: '{"n":2}' });
    expect(other).toMatchObject({ created: false, lease: null, header: { runId: b.id('a') } });
    expect(await b.store.find(b.id('b'))).toBeNull();
    await finish(b, (await b.claim())[0]!);
    expect((await start(b, 'c', 'skip')).created).toBe(true);
  });

  it('skip: many at once make one run', async () => {
    const b = bench();
    const row = (i: number): TriggerRow =>
      b.row(b.id(`r${i}`), { singleton: { key: b.id('key'), policy: 'skip' } });
    const batches = await Promise.all(
      Array.from({ length: 6 }, (_, i) => b.store.trigger([row(2 * i), row(2 * i + 1)])),
    );
    const all = batches.flat();
    expect(all.filter((one) => one!.created)).toHaveLength(1);
    expect(new Set(all.map((one) => one!.header.runId)).size).toBe(1);
  });

  it('skip: of a call that is refused nothing is inserted', async () => {
    const b = bench();
    await b.store.trigger([b.row(b.id('there'))]);
    const singleton = { key: b.id('key'), policy: 'skip' } as const;
    const rows = [b.row(b.id('new'), { singleton }), b.row(b.id('there'), { payload: '{"n":2}' })];
    const [fresh] = await b.store.triggerAll(rows);
    expect(fresh).toBeNull();
    expect(await b.store.find(b.id('new'))).toBeNull();
  });

  it('cancel-previous: those before are cancelled, those that queue too, and the new one starts', async () => {
    const b = bench();
    await start(b, 'a', 'queue');
    const [running] = await b.claim();
    await start(b, 'b', 'queue');
    const third = await start(b, 'c', 'cancel-previous');
    expect(third.created).toBe(true);
    expect(third.cancelled).toHaveLength(2);
    expect((await b.store.find(b.id('a')))!.status).toBe('cancelled');
    expect((await b.store.find(b.id('b')))!.status).toBe('cancelled');
    expect(await finish(b, running!)).toBe('lost');
    expect(names(b, await b.claim())).toEqual(['c']);
  });

  it('cancel-previous: the same trigger again cancels nothing, and one that is refused neither', async () => {
    const b = bench();
    const row = b.row(b.id('a'), { singleton: { key: b.id('key'), policy: 'cancel-previous' } });
    await b.store.trigger([row]);
    await start(b, 'b', 'cancel-previous');
    // its reply was lost, and meanwhile it was replaced
    const [again] = await b.store.trigger([row]);
    expect(again).toMatchObject({ created: true });
    expect(again!.cancelled ?? []).toEqual([]);
    const [refused] = await b.store.triggerAll([{ ...row, triggerId: randomUUID(), payload: '{"n":9}' }]);
    expect(refused).toMatchObject({ created: false });
    expect((await b.store.find(b.id('b')))!.status).toBe('pending');
  });

  it('cancel-previous: of many at once the last one is left', async () => {
    const b = bench();
    await Promise.all(Array.from({ length: 5 }, (_, i) => start(b, `r${i}`, 'cancel-previous')));
    const records = await Promise.all(
      Array.from({ length: 5 }, async (_, i) => (await b.store.find(b.id(`r${i}`)))!),
    );
    const left = records.filter(({ status }) => status !== 'cancelled');
    expect(left).toHaveLength(1);
    const newest = records.map(({ execution }) => BigInt(execution)).reduce((x, y) => (x > y ? x : y));
    expect(left[0]!.execution).toBe(`${newest}`);
    expect(await b.claim()).toHaveLength(1);
  });

  it('never two holders, however many hand over, end and trigger at the same time', async () => {
    const b = bench();
    const singleton = { key: b.id('key'), policy: 'queue' } as const;
    let running = 0;
    let done = 0;
    const feed = async (who: string): Promise<void> => {
      for (let i = 0; i < 6; i++) await b.store.trigger([b.row(b.id(`${who}${i}`), { singleton })]);
    };
    const worker = async (): Promise<void> => {
      while (done < 18) {
        const tasks = await b.claim(5, null, randomUUID());
        running += tasks.length;
        expect(running).toBeLessThanOrEqual(1);
        for (const task of tasks) {
          running--;
          await finish(b, task);
          done++;
        }
        await b.store.handOver(done % 2 ? null : [b.id('key')]);
      }
    };
    await Promise.all([feed('x'), feed('y'), feed('z'), worker(), worker(), worker()]);
    expect(done).toBe(18);
  });
}
