import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { AdvanceCommit, Task } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

const ROUNDS = 30;
const AGAIN: AdvanceCommit['next'] = { to: 'continued', payload: '"again"', deadlineInMs: 5000 };

/** What a run leaves and owes as it goes on, is cancelled, or ends below a parent. */
export function continuing(bench: () => Bench): void {
  const event = (b: Bench, runId: string) =>
    b.store.notify({ eventId: randomUUID(), event: 'go', data: '1', runId, keepForMs: null });

  it('goes on as a new execution of the same run, with the events that were not taken', async () => {
    const b = bench();
    const task = await b.claimed('run', { labels: ['x'], deadlineInMs: 1 });
    await event(b, task.runId);
    expect(await b.commit(task, { wantedSeen: 1, rows: [b.fact('a', 1)], next: AGAIN })).toBe('committed');
    const [next] = await b.claim();
    expect(next).toMatchObject({ runId: task.runId, fence: 1, kind: 'advance' });
    expect(next!.execution).not.toBe(task.execution);
    const loaded = await b.load(next!);
    expect(loaded).toMatchObject({
      rows: [],
      header: { payload: '"again"', labels: ['x'], attempt: 1, deadlineAt: b.now + 5000 },
      inbox: [{ event: 'go', data: '1' }],
    });
    expect((await b.store.list({ runIds: [task.runId] }, 10, null)).map((one) => one.execution)).toEqual([
      next!.execution,
    ]);
  });

  it('repeated unchanged after a lost reply, goes on once', async () => {
    const b = bench();
    const task = await b.claimed();
    expect(await b.commit(task, { next: AGAIN })).toBe('committed');
    expect(await b.commit(task, { next: AGAIN })).toBe('committed');
    expect(await b.claim()).toHaveLength(1);
  });

  it('loses no event that meets the moment in which it goes on', async () => {
    const b = bench();
    for (let i = 0; i < ROUNDS; i++) {
      const task = await b.claimed(`run ${i}`);
      const [commit] = await Promise.all([b.commit(task, { next: AGAIN }), event(b, task.runId)]);
      const [next] = await b.claim();
      // whoever came first: the event is where the run goes on, or keeps it from going on without it
      expect(next!.execution === task.execution).toBe(commit === 'due');
      expect((await b.load(next!)).inbox).toHaveLength(1);
    }
  });

  it('is cancelled in the moment in which it goes on', async () => {
    const b = bench();
    for (let i = 0; i < ROUNDS; i++) {
      const task = await b.claimed(`run ${i}`);
      await Promise.all([b.commit(task, { next: AGAIN }), b.store.cancel({ runIds: [task.runId] })]);
      expect(await b.status(task)).toBe('cancelled');
    }
    expect(await b.claim()).toEqual([]);
  });

  it('with compensations is marked by a cancel instead of ended, and due at once under a new fence', async () => {
    const b = bench();
    const { advance, step } = await b.withStep();
    const [again] = await wake(b, advance);
    await b.commit(again!, { rollbacks: 2, next: { to: 'suspend', dueAt: null } });
    expect(await b.store.cancel({ runIds: [advance.runId] })).toMatchObject([{ runId: advance.runId }]);
    expect(await b.store.cancel({ runIds: [advance.runId] })).toEqual([]);
    expect(await b.answer(step)).toBe('lost');
    const [undoing] = await b.claim();
    expect(undoing!.fence).toBeGreaterThan(again!.fence + 1);
    expect((await b.load(undoing!)).header).toMatchObject({ rollbacks: 2, cancelling: true });
    expect(await b.commit(undoing!, { next: { to: 'cancelled' } })).toBe('committed');
    expect(await b.status(advance)).toBe('cancelled');
  });

  it('is not ended by a cancel that meets the commit of its first compensation', async () => {
    const b = bench();
    for (let i = 0; i < ROUNDS; i++) {
      const task = await b.claimed(`run ${i}`);
      const [commit] = await Promise.all([
        b.commit(task, { rollbacks: 1, next: { to: 'continue' } }),
        b.store.cancel({ runIds: [task.runId] }),
      ]);
      // whoever came first: a compensation that is durable is done
      expect((await b.status(task)) === 'cancelled').toBe(commit === 'lost');
      await b.claim();
    }
  });

  it('tells its parent how it has ended, once', async () => {
    const b = bench();
    const { parent, child } = await family(b);
    await b.commit(child, { next: { to: 'completed', result: '7' } });
    expect((await b.store.settle()).reported).toBeGreaterThan(0);
    await b.store.settle();
    const [woken] = await b.claim();
    expect(woken!.taskId).toBe(parent.taskId);
    expect((await b.load(woken!)).inbox).toMatchObject([{ kind: 'completed', key: 'part', data: '7' }]);
  });

  it('is cancelled with its parent, and not inserted when that has ended', async () => {
    const b = bench();
    const { parent, child } = await family(b);
    await b.store.cancel({ runIds: [parent.runId] });
    expect((await b.store.settle()).cancelled).toContain(child.execution);
    expect(await b.status(child)).toBe('cancelled');
    const late = b.row(b.id('late'), {
      parent: { execution: parent.execution, key: 'late', depth: 1, cascades: true },
    });
    expect(await b.store.trigger([late])).toEqual([null]);
    expect(await b.store.find(b.id('late'))).toBeNull();
  });

  it('never outlives a parent that is cancelled as it starts', async () => {
    const b = bench();
    for (let i = 0; i < ROUNDS; i++) {
      const parent = await b.claimed(`parent ${i}`);
      const row = b.row(b.id(`child ${i}`), {
        parent: { execution: parent.execution, key: 'part', depth: 1, cascades: true },
      });
      await Promise.all([b.store.trigger([row]), b.store.cancel({ runIds: [parent.runId] })]);
      await b.store.settle();
      const child = await b.store.find(row.runId);
      expect(child === null || child.status === 'cancelled').toBe(true);
    }
  });
}

/** A parent that waits for its child, which is claimed. */
async function family(b: Bench): Promise<{ parent: Task; child: Task }> {
  const parent = await b.claimed('parent');
  const row = b.row(b.id('child'), {
    parent: { execution: parent.execution, key: 'part', depth: 1, cascades: true },
  });
  await b.store.trigger([row]);
  const [child] = await b.claim();
  await b.commit(parent, {
    rows: [b.journalRow('part', { kind: 'invoke', dispatched: true, request: row.runId })],
    next: { to: 'suspend', dueAt: null },
  });
  return { parent, child: child! };
}

/** The advance task of a suspended run, due and claimed again. */
async function wake(b: Bench, task: Task): Promise<Task[]> {
  await b.store.reactivate(task.execution, false);
  return b.claim();
}
