import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { ResolvedFlow } from '../../lib/engine/flow-control.js';
import type { FlowRecord, Task, TriggerRow } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

/** The lines of flow-control keys. Each test has keys and a workflow of its own. */
export function flowing(bench: () => Bench): void {
  const limits = (b: Bench, more: Partial<ResolvedFlow>, name = 'key'): ResolvedFlow => ({
    key: b.id(name),
    parallelism: null,
    rate: null,
    periodMs: null,
    ...more,
  });

  const trigger = (
    b: Bench,
    count: number,
    flow: ResolvedFlow,
    more: Partial<TriggerRow> = {},
  ): Promise<unknown> =>
    b.store.trigger(Array.from({ length: count }, () => b.row(`${randomUUID()}`, { flow, ...more })));

  const claim = async (b: Bench, limit = 100, worker = b.worker): Promise<Task[]> => [
    ...(await b.store.claimFlow(worker, [b.workflow], limit)).tasks,
  ];

  const info = async (b: Bench, name = 'key'): Promise<FlowRecord> =>
    (await b.store.flows(b.id(name), null, 1))[0]!;

  const finish = (b: Bench, task: Task): Promise<string> =>
    b.commit(task, { next: { to: 'completed', result: '1' } });

  it('keeps what has a key from the queue of its workflow, and tells when its line is due', async () => {
    const b = bench();
    await trigger(b, 2, limits(b, { parallelism: 5 }));
    const claimed = await b.store.claim(b.worker, [b.workflow], 10, null);
    expect(claimed).toMatchObject({ tasks: [], nextDueAt: null, flowDueAt: b.now });
    const tasks = await claim(b);
    expect(tasks).toHaveLength(2);
    expect(tasks[0]).toMatchObject({
      workflow: b.workflow,
      fence: 1,
      step: null,
      kind: 'advance',
      flow: true,
    });
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ flowDueAt: null });
  });

  it('does not look at what is due later, and says when', async () => {
    const b = bench();
    await trigger(b, 1, limits(b, { parallelism: 1 }), { due: { inMs: 4000 } });
    expect(await claim(b)).toEqual([]);
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ flowDueAt: b.now + 4000 });
    b.clock.pass(4000);
    expect(await claim(b)).toHaveLength(1);
  });

  it('leases no more than the parallelism, and the next as soon as one has ended', async () => {
    const b = bench();
    await trigger(b, 5, limits(b, { parallelism: 2 }));
    const [first, second, ...more] = await claim(b);
    expect(more).toEqual([]);
    expect(await claim(b)).toEqual([]);
    await finish(b, first!);
    expect(await claim(b)).toHaveLength(1);
    await finish(b, second!);
    expect(await claim(b)).toHaveLength(1);
    expect(await claim(b)).toEqual([]);
    expect(await info(b)).toMatchObject({
      parallelism: 2,
      rate: null,
      running: 2,
      waiting: 1,
      paused: false,
    });
  });

  it('a full line is not looked at: nothing is due in it', async () => {
    const b = bench();
    await trigger(b, 3, limits(b, { parallelism: 1 }));
    const [task] = await claim(b);
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ flowDueAt: null });
    await trigger(b, 3, limits(b, { parallelism: 1 }));
    // what is noted has to be merged, and frees nothing
    expect(await claim(b)).toEqual([]);
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ flowDueAt: null });
    await finish(b, task!);
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ flowDueAt: b.now });
  });

  it.each(['suspend', 'release', 'cancel', 'sweep', 'unregister', 'failed'] as const)(
    'a slot comes back by %s',
    async (how) => {
      const b = bench();
      const worker = randomUUID();
      if (how === 'unregister') await b.store.register(worker, 'host', 1, []);
      await trigger(b, 2, limits(b, { parallelism: 1 }));
      const [task] = await claim(b, 10, worker);
      expect(await claim(b)).toEqual([]);
      if (how === 'suspend') await b.commit(task!, { next: { to: 'suspend', dueAt: null } });
      else if (how === 'release') await b.store.release([task!], 60_000);
      else if (how === 'cancel') await b.store.cancel({ runIds: [task!.runId] });
      else if (how === 'sweep') await b.store.sweep(b.worker, 0);
      else if (how === 'unregister') await b.store.unregister(worker);
      else await b.commit(task!, { next: { to: 'failed', error: '{"name":"E","message":""}' } });
      expect(await claim(b)).toHaveLength(1);
      expect(await claim(b)).toEqual([]);
    },
  );

  it('a wait for an event holds no slot, not even while kept events are looked for', async () => {
    const b = bench();
    await trigger(b, 2, limits(b, { parallelism: 1 }));
    const [task] = await claim(b);
    const event = b.id('event');
    await b.commit(task!, {
      rows: [b.journalRow('wait', { kind: 'wait', event })],
      next: { to: 'suspend', dueAt: null, listens: true },
    });
    expect(await claim(b)).toEqual([]);
    await b.store.collectKept(task!.execution, [event], task!);
    const [other] = await claim(b);
    expect(other!.runId).not.toBe(task!.runId);
    // woken, it waits in line again
    await b.store.notify({ eventId: randomUUID(), event, data: '1', runId: null, keepForMs: null });
    expect(await claim(b)).toEqual([]);
    await finish(b, other!);
    expect((await claim(b)).map(({ runId }) => runId)).toEqual([task!.runId]);
  });

  it.each(['notify', 'reactivate', 'kept'] as const)(
    '%s brings a waiting run back into its line',
    async (how) => {
      const b = bench();
      await trigger(b, 1, limits(b, { parallelism: 1 }));
      const [task] = await claim(b);
      const event = b.id('event');
      const eventId = randomUUID();
      await b.commit(task!, {
        rows: [b.journalRow('wait', { kind: 'wait', event })],
        next: { to: 'suspend', dueAt: null },
      });
      expect(await claim(b)).toEqual([]);
      if (how === 'notify')
        await b.store.notify({ eventId, event, data: '1', runId: task!.runId, keepForMs: null });
      else if (how === 'reactivate') await b.store.reactivate(task!.execution, true);
      else await b.store.notify({ eventId, event, data: '1', runId: null, keepForMs: 1000 });
      expect(await claim(b)).toHaveLength(1);
    },
  );

  it('starts no more than the rate in any window, wherever that begins', async () => {
    const b = bench();
    const starts: number[] = [];
    await trigger(b, 60, limits(b, { rate: 7, periodMs: 1000 }));
    for (let i = 0; i < 400; i++) {
      for (const task of await claim(b, 1 + (i % 4))) {
        starts.push(b.now);
        await finish(b, task);
      }
      b.clock.pass(31);
    }
    expect(starts).toHaveLength(60);
    for (const from of starts)
      expect(starts.filter((at) => at >= from && at < from + 1000).length).toBeLessThanOrEqual(7);
    // conservative by a 64th of the period at most (and by the steps of this test)
    expect(starts.at(-1)! - starts[0]!).toBeLessThanOrEqual(8 * (1000 + 16 + 31));
  });

  it('a start that a crash has cut off counts all the same, and the next attempt is another', async () => {
    const b = bench();
    const worker = randomUUID();
    await trigger(b, 3, limits(b, { rate: 2, periodMs: 10_000 }));
    expect(await claim(b, 10, worker)).toHaveLength(2);
    await b.store.sweep(b.worker, 0);
    expect(await claim(b)).toEqual([]);
    expect(await info(b)).toMatchObject({ started: 2, running: 0, waiting: 3 });
    b.clock.pass(10_200);
    expect(await claim(b)).toHaveLength(2);
    expect(await claim(b)).toEqual([]);
  });

  it('tells when the rate allows the next, and starts it then', async () => {
    const b = bench();
    await trigger(b, 3, limits(b, { rate: 2, periodMs: 60_000 }));
    const began = b.now;
    expect(await claim(b)).toHaveLength(2);
    expect(await claim(b)).toEqual([]);
    expect(await info(b)).toMatchObject({ rate: 2, periodMs: 60_000, started: 2, waiting: 1, running: 2 });
    const { flowDueAt } = await b.store.claim(b.worker, [b.workflow], 10, null);
    expect(flowDueAt).toBeGreaterThanOrEqual(began + 60_000);
    expect(flowDueAt).toBeLessThanOrEqual(began + 60_000 + 60_000 / 64 + 1);
    b.clock.pass(59_999);
    expect(await claim(b)).toEqual([]);
    b.clock.pass(60_000 / 64 + 2.5);
    expect(await claim(b)).toHaveLength(1);
  });

  it('holds both limits at once', async () => {
    const b = bench();
    await trigger(b, 10, limits(b, { parallelism: 2, rate: 3, periodMs: 1000 }));
    const first = await claim(b);
    expect(first).toHaveLength(2);
    for (const task of first) await finish(b, task);
    const second = await claim(b);
    expect(second).toHaveLength(1);
    b.clock.pass(1020);
    expect(await claim(b)).toHaveLength(1);
  });

  it('the limits seen last hold for the key', async () => {
    const b = bench();
    await trigger(b, 4, limits(b, { parallelism: 1 }));
    expect(await claim(b)).toHaveLength(1);
    await trigger(b, 1, limits(b, { parallelism: 3 }));
    expect(await claim(b)).toHaveLength(2);
    await trigger(b, 1, limits(b, { rate: 1, periodMs: 1000 }));
    expect(await claim(b)).toHaveLength(1);
    expect(await claim(b)).toEqual([]);
    await trigger(b, 1, limits(b, { rate: 5, periodMs: 1000 }));
    expect(await claim(b)).toHaveLength(3);
    expect(await info(b)).toMatchObject({
      parallelism: null,
      rate: 5,
      periodMs: 1000,
      running: 7,
      waiting: 0,
    });
  });

  it('the keys take turns: a long line delays the only task of another by one claim at most', async () => {
    const b = bench();
    await trigger(b, 300, limits(b, { parallelism: 1000 }, 'long'));
    expect(await claim(b, 4)).toHaveLength(4);
    await trigger(b, 1, limits(b, { parallelism: 1000 }, 'short'));
    const tasks = await claim(b, 1);
    const { running } = await info(b, 'short');
    expect(tasks).toHaveLength(1);
    expect(running).toBe(1);
  });

  it('divides a claim among the keys, and what one leaves goes to the others in the next', async () => {
    const b = bench();
    for (const name of ['a', 'b', 'c', 'd']) await trigger(b, 100, limits(b, { parallelism: 50 }, name));
    expect(await claim(b, 40)).toHaveLength(40);
    const running = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => (await info(b, name)).running),
    );
    expect(running).toEqual([10, 10, 10, 10]);
  });

  it('within a line the smaller priority goes first, then what has waited longest', async () => {
    const b = bench();
    const flow = limits(b, { parallelism: 1 });
    const add = (name: string, priority: number, ago: number): Promise<unknown> =>
      b.store.trigger([b.row(b.id(name), { flow, priority, due: { at: b.now - ago } })]);
    await add('late', 0, 1);
    await add('early', 0, 9);
    await add('low', 5, 99);
    await add('high', -3, 0);
    const order: string[] = [];
    for (;;) {
      const [task] = await claim(b);
      if (!task) break;
      order.push(task.runId);
      await finish(b, task);
    }
    expect(order).toEqual(['high', 'early', 'late', 'low'].map((name) => b.id(name)));
  });

  it('pause holds the line back, resume lets it go on; what runs is left alone', async () => {
    const b = bench();
    await trigger(b, 3, limits(b, { parallelism: 2 }));
    const [task] = await claim(b, 1);
    await b.store.pauseFlow(b.id('key'), true);
    expect(await claim(b)).toEqual([]);
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ flowDueAt: null });
    expect(await finish(b, task!)).toBe('committed');
    expect(await claim(b)).toEqual([]);
    expect(await info(b)).toMatchObject({ paused: true, running: 0, waiting: 2 });
    await b.store.pauseFlow(b.id('key'), false);
    expect(await claim(b)).toHaveLength(2);
  });

  it('a key may be paused before it is used', async () => {
    const b = bench();
    await b.store.pauseFlow(b.id('key'), true);
    await trigger(b, 1, limits(b, { parallelism: 2 }));
    expect(await claim(b)).toEqual([]);
    expect(await info(b)).toMatchObject({ paused: true, parallelism: 2, waiting: 1 });
  });

  it('lists the keys in their order, page by page', async () => {
    const b = bench();
    for (const name of ['y', 'x', 'z']) await trigger(b, 1, limits(b, { parallelism: 1 }, name));
    const keys = async (after: string, limit: number): Promise<string[]> =>
      (await b.store.flows(null, after, limit))
        .map(({ key }) => key)
        .filter((key) => key.endsWith(b.workflow));
    expect(await b.store.flows(b.id('nobody'), null, 1)).toEqual([]);
    expect((await keys('w', 1000)).toSorted()).toEqual(['x', 'y', 'z'].map((name) => b.id(name)));
    expect((await b.store.flows(null, b.id('x'), 1))[0]!.key > b.id('x')).toBe(true);
  });

  it('a step with a key waits in the line of that key, with the priority of its run; retries wait again', async () => {
    const b = bench();
    const flow = limits(b, { parallelism: 1 });
    const advance = await b.claimed('run', { priority: 0 });
    await b.commit(advance, {
      rows: [b.journalRow('one', { dispatched: true }), b.journalRow('two', { dispatched: true })],
      tasks: ['one', 'two'].map((key) => ({ key, kind: 'step', dueAt: b.now, flow })),
      next: { to: 'suspend', dueAt: null },
    });
    expect(await b.claim()).toEqual([]);
    const [step, ...rest] = await claim(b);
    expect(rest).toEqual([]);
    expect(step).toMatchObject({ flow: true, kind: 'step' });
    const failed = b.answerOf(step!, { retryAt: b.now + 1000 });
    await b.store.answer([{ ...failed, row: { ...failed.row, answer: { ok: false, failure: '{}' } } }]);
    const [other] = await claim(b);
    expect(other!.step).not.toBe(step!.step);
    b.clock.pass(1000);
    expect(await claim(b)).toEqual([]);
    await b.store.answer([b.answerOf(other!)]);
    expect((await claim(b)).map((task) => task.step)).toEqual([step!.step]);
    // the run itself has no key
    expect((await b.claim()).map((task) => task.step)).toEqual([null]);
  });

  it("a run's key covers its steps, but for those with a key of their own, and not its calls", async () => {
    const b = bench();
    await trigger(b, 1, limits(b, { parallelism: 1 }));
    const [advance] = await claim(b);
    const keys = ['own', 'runs', 'call'];
    await b.commit(advance!, {
      rows: keys.map((key) => b.journalRow(key, { dispatched: true })),
      tasks: [
        { key: 'own', kind: 'step', dueAt: b.now, flow: limits(b, { parallelism: 9 }, 'other') },
        { key: 'runs', kind: 'step', dueAt: b.now },
        { key: 'call', kind: 'call', dueAt: b.now },
      ],
      next: { to: 'suspend', dueAt: null },
    });
    expect((await info(b)).waiting).toBe(1);
    expect((await info(b, 'other')).waiting).toBe(1);
    expect(new Set((await claim(b)).map(({ step }) => step))).toEqual(new Set(['own', 'runs']));
    const calls = await b.store.claim(b.worker, [b.workflow], 0, null, 5);
    expect(calls.tasks.map(({ step }) => step)).toEqual(['call']);
  });

  it('a load tells whether the key of the run has a rate', async () => {
    const b = bench();
    const load = async (task: Task): Promise<boolean | undefined> =>
      (await b.store.load([{ ...task, position: 0 }]))[0]!.paced;
    await trigger(b, 1, limits(b, { rate: 9, periodMs: 1000 }, 'rate'));
    await trigger(b, 1, limits(b, { parallelism: 9 }, 'slots'));
    const paced = await Promise.all((await claim(b)).map(load));
    expect(new Set(paced)).toEqual(new Set([false, true]));
    expect(await load(await b.claimed())).toBe(false);
  });

  it('one key for several workflows: each process takes what it serves', async () => {
    const [a, b] = [bench(), bench()];
    const flow = limits(a, { parallelism: 3 });
    const other = `${a.workflow}-other`;
    for (const workflow of [other, other, other, a.workflow]) await trigger(a, 1, flow, { workflow });
    expect((await claim(a)).map(({ workflow }) => workflow)).toEqual([a.workflow]);
    expect(await claim(a)).toEqual([]);
    const { tasks } = await b.store.claimFlow(b.worker, [other], 10);
    expect(tasks).toHaveLength(2);
  });

  it('what only others can serve is no reason to look', async () => {
    const b = bench();
    await trigger(b, 1, limits(b, { parallelism: 1 }), { workflow: 'elsewhere' });
    await claim(b);
    expect(await b.store.claim(b.worker, [b.workflow], 10, null)).toMatchObject({ flowDueAt: null });
    expect((await b.store.claimFlow(b.worker, ['elsewhere'], 10)).tasks).toHaveLength(1);
  });

  it('never leases too many, however many claim, end and trigger at the same time', async () => {
    const b = bench();
    const flow = limits(b, { parallelism: 3 });
    let running = 0;
    let most = 0;
    let done = 0;
    const worker = async (): Promise<void> => {
      while (done < 60) {
        const tasks = await claim(b, 2, randomUUID());
        running += tasks.length;
        most = Math.max(most, running);
        for (const task of tasks) {
          running--;
          await finish(b, task);
          done++;
        }
        if (tasks.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    const feed = async (): Promise<void> => {
      for (let i = 0; i < 12; i++) await trigger(b, 5, flow);
    };
    await Promise.all([feed(), worker(), worker(), worker(), worker()]);
    expect(done).toBe(60);
    expect(most).toBeLessThanOrEqual(3);
    expect(await info(b)).toMatchObject({ running: 0, waiting: 0 });
  });

  it('forgets a key that is not used any more, and never one that is paused', async () => {
    const b = bench();
    await trigger(b, 1, limits(b, { parallelism: 1, rate: 1, periodMs: 3_600_000 }));
    const [task] = await claim(b);
    b.clock.pass(3_000_000);
    await b.store.expire();
    expect(await info(b)).toMatchObject({ running: 1 });
    await finish(b, task!);
    await b.store.pauseFlow(b.id('paused'), true);
    expect(await claim(b)).toEqual([]);
    b.clock.pass(600_000);
    await b.store.expire();
    expect(await info(b)).toBeDefined();
    b.clock.pass(61_000);
    await b.store.expire();
    expect(await info(b)).toBeUndefined();
    expect(await info(b, 'paused')).toMatchObject({ paused: true });
  });

  it('smaller priorities leave a queue first, and a claim without a floor says which are in use', async () => {
    const b = bench();
    const low = Array.from({ length: 50 }, (_, i) => b.row(b.id(`low${i}`), { due: { at: b.now - 1000 } }));
    await b.store.trigger([
      ...low,
      b.row(b.id('high'), { priority: -5 }),
      b.row(b.id('idle'), { priority: 7 }),
    ]);
    const first = await b.store.claim(b.worker, [b.workflow], 1, null);
    expect(first.priorities!.toSorted((x, y) => x - y)).toEqual([-5, 0, 7]);
    expect((await b.store.claim(b.worker, [b.workflow], 1, b.now - 5000, 0, [-5, 0, 7])).tasks).toMatchObject(
      [{ runId: b.id('high') }],
    );
    const rest = await b.store.claim(b.worker, [b.workflow], 100, b.now - 5000, 0, [-5, 0, 7]);
    expect(rest.priorities).toBeNull();
    expect(rest.tasks).toHaveLength(50);
  });
}
