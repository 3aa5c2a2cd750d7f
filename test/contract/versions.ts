import { randomUUID } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import type { Task } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

export function versions(bench: () => Bench): void {
  const queue = (b: Bench, version: string): string => `${b.workflow}@${version}`;
  const claim = async (b: Bench, ...queues: string[]): Promise<Task[]> => [
    ...(await b.store.claim(b.worker, queues, 100, null, 100)).tasks,
  ];
  const trigger = async (b: Bench, name: string, version: string | null): Promise<void> => {
    await b.store.trigger([b.row(b.id(name), { version })]);
  };
  /** A worker that claims from these queues, until the test has ended. */
  const serving = async (b: Bench, ...queues: string[]): Promise<string> => {
    const worker = randomUUID();
    await b.store.register(worker, 'host', 1, queues);
    onTestFinished(() => b.store.unregister(worker));
    return worker;
  };
  const unserved = async (b: Bench): Promise<string[]> =>
    (await b.store.unserved()).filter((name) => name.startsWith(b.workflow)).toSorted();
  const move = (b: Bench, from: string | null, to: string | null): Promise<number> =>
    b.store.takeOver([
      { queue: from === null ? b.workflow : queue(b, from), workflow: b.workflow, from, to },
    ]);

  it('claims each version from its own queue', async () => {
    const b = bench();
    await trigger(b, 'none', null);
    await trigger(b, 'one', '1');
    await trigger(b, 'two', '2');
    expect(await claim(b, b.workflow)).toMatchObject([{ runId: b.id('none'), version: null }]);
    expect(await claim(b, queue(b, '2'))).toMatchObject([
      { runId: b.id('two'), version: '2', workflow: b.workflow },
    ]);
    expect(await claim(b, queue(b, '2'), b.workflow, queue(b, '1'))).toMatchObject([{ version: '1' }]);
  });

  it('keeps the steps, the calls and the next execution of a run in its version', async () => {
    const b = bench();
    await trigger(b, 'r', '7');
    const [advance] = await claim(b, queue(b, '7'));
    const rows = ['pack', 'ask'].map((key) => b.journalRow(key, { dispatched: true }));
    const tasks = [
      { key: 'pack', kind: 'step' as const, dueAt: b.now },
      { key: 'ask', kind: 'call' as const, dueAt: b.now },
    ];
    await b.commit(advance!, { rows, tasks, next: { to: 'suspend', dueAt: b.now } });
    expect(await claim(b, b.workflow)).toEqual([]);
    const claimed = await claim(b, queue(b, '7'));
    expect(claimed.map(({ step, version }) => `${step ?? ''} ${version}`).toSorted()).toEqual([
      ' 7',
      'ask 7',
      'pack 7',
    ]);
    const again = claimed.find(({ step }) => step === null)!;
    await b.commit(again, { next: { to: 'continued', payload: '2', deadlineInMs: null } });
    expect(await claim(b, queue(b, '7'))).toMatchObject([{ runId: b.id('r'), version: '7', step: null }]);
  });

  it('tells which queues nobody serves, by name; none while no worker claims at all', async () => {
    const b = bench();
    await trigger(b, 'one', '1');
    await trigger(b, 'two', '2');
    await trigger(b, 'none', null);
    await serving(b, queue(b, '2'));
    expect(await unserved(b)).toEqual([b.workflow, queue(b, '1')]);
    expect(await b.store.find(b.id('one'))).toMatchObject({
      stuck: `No process serves workflow "${b.workflow}" in version "1"`,
    });
    expect((await b.store.find(b.id('two')))!.stuck).toBeNull();
    await serving(b, queue(b, '1'), b.workflow);
    expect(await unserved(b)).toEqual([]);
    expect((await b.store.find(b.id('one')))!.stuck).toBeNull();
  });

  it('tells it of calls too, and of tasks behind flow-control keys', async () => {
    const b = bench();
    const flow = { key: b.id('key'), parallelism: 1, rate: null, periodMs: null };
    await b.store.trigger([
      b.row(b.id('f1'), { version: '1', flow }),
      b.row(b.id('f2'), { version: '2', flow }),
    ]);
    // a claim merges what was noted
    await b.store.claimFlow(b.worker, [queue(b, '3')], 1);
    await serving(b, queue(b, '2'));
    expect(await unserved(b)).toEqual([queue(b, '1')]);
    expect(await move(b, '1', '2')).toBe(1);
    expect(await unserved(b)).toEqual([]);
    const first = await b.store.claimFlow(b.worker, [queue(b, '2')], 10);
    expect(first.tasks).toHaveLength(1);
    await b.store.commit([b.commitOf(first.tasks[0]!, { next: { to: 'completed', result: '1' } })]);
    const second = await b.store.claimFlow(b.worker, [queue(b, '2')], 10);
    expect(second.tasks).toMatchObject([{ version: '2' }]);
  });

  it('moves runs that wait to another version, with all their tasks', async () => {
    const b = bench();
    await trigger(b, 'r', '1');
    await trigger(b, 'other', '2');
    const [advance] = await claim(b, queue(b, '1'));
    const rows = ['pack', 'ask'].map((key) => b.journalRow(key, { dispatched: true }));
    const tasks = [
      { key: 'pack', kind: 'step' as const, dueAt: b.now },
      { key: 'ask', kind: 'call' as const, dueAt: b.now },
    ];
    await b.commit(advance!, { rows, tasks, next: { to: 'suspend', dueAt: b.now } });
    expect(await move(b, '1', '3')).toBe(1);
    expect(await move(b, '1', '3')).toBe(0);
    expect(await claim(b, queue(b, '1'))).toEqual([]);
    expect((await claim(b, queue(b, '3'))).map(({ version }) => version)).toEqual(['3', '3', '3']);
    expect(await b.store.find(b.id('r'))).toMatchObject({ version: '3' });
    expect(await b.store.find(b.id('other'))).toMatchObject({ version: '2' });
  });

  it('moves runs without a version, and such as lost it', async () => {
    const b = bench();
    await trigger(b, 'r', null);
    expect(await move(b, null, '1')).toBe(1);
    expect(await claim(b, queue(b, '1'))).toMatchObject([{ version: '1' }]);
    await trigger(b, 's', '1');
    expect(await move(b, '1', null)).toBe(1);
    expect(await claim(b, b.workflow)).toMatchObject([{ runId: b.id('s'), version: null }]);
  });

  it('leaves a run that somebody is working on to him', async () => {
    const b = bench();
    await trigger(b, 'r', '1');
    const [advance] = await claim(b, queue(b, '1'));
    expect(await move(b, '1', '2')).toBe(0);
    expect(await b.commit(advance!, { rows: [b.fact('a', 1)], next: { to: 'suspend', dueAt: null } })).toBe(
      'committed',
    );
    expect(await move(b, '1', '2')).toBe(1);
  });

  it('lets a claim or the takeover have a run, never both', async () => {
    const b = bench();
    await b.store.trigger(Array.from({ length: 40 }, (_, i) => b.row(b.id(`r${i}`), { version: '1' })));
    const [claimed, moved] = await Promise.all([claim(b, queue(b, '1')), move(b, '1', '2')]);
    expect(claimed.length + moved).toBe(40);
    const rest = await claim(b, queue(b, '2'));
    expect(rest).toHaveLength(moved);
    expect(new Set([...claimed, ...rest].map(({ runId }) => runId)).size).toBe(40);
  });

  it('says of a task that it is stuck, until it gets on', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.store.release([task], 60_000, 'code is missing');
    expect((await b.store.find(task.runId))!.stuck).toBe('code is missing');
    const stuck = await b.store.list({ workflow: b.workflow, stuck: true }, 10, null);
    expect(stuck.map(({ runId }) => runId)).toEqual([task.runId]);
    expect(await b.claim()).toEqual([]);
    expect(await b.store.resume([task.runId])).toEqual([{ execution: task.execution, runId: task.runId }]);
    expect((await b.store.find(task.runId))!.stuck).toBeNull();
    expect(await b.store.list({ workflow: b.workflow, stuck: true }, 10, null)).toEqual([]);
    expect(await b.claim()).toMatchObject([{ runId: task.runId }]);
  });

  it('lists runs of versions that nobody serves as stuck', async () => {
    const b = bench();
    await trigger(b, 'one', '1');
    await trigger(b, 'two', '2');
    await serving(b, queue(b, '2'));
    const stuck = await b.store.list({ workflow: b.workflow, stuck: true }, 10, null);
    expect(stuck.map(({ runId }) => runId)).toEqual([b.id('one')]);
  });

  it('resumes nothing that is not stuck, has ended or does not exist', async () => {
    const b = bench();
    const ended = await b.claimed('ended');
    await b.commit(ended, { next: { to: 'completed', result: '1' } });
    await trigger(b, 'fine', null);
    expect(await b.store.resume([b.id('fine'), b.id('ended'), b.id('nobody')])).toEqual([]);
    expect(await b.store.resume([b.id('ended')], '2')).toEqual([]);
  });

  it('resumes in another version whatever the run is doing, and shuts out who works on it', async () => {
    const b = bench();
    const { advance, step } = await b.withStep();
    await b.commit(advance, { next: { to: 'continue' } });
    await trigger(b, 'late', '1');
    const [working] = await claim(b, queue(b, '1'));
    const resumed = await b.store.resume([advance.runId, b.id('late')], '2');
    expect(resumed.map(({ runId }) => runId).toSorted()).toEqual([advance.runId, b.id('late')].toSorted());
    expect(await b.commit(working!, { rows: [b.fact('a', 1)], next: { to: 'completed', result: '1' } })).toBe(
      'lost',
    );
    // a step task goes on: its answer is a fact whatever the version
    expect(await b.answer(step)).toBe('committed');
    const claimed = await claim(b, queue(b, '2'));
    expect(claimed.map(({ runId, version }) => `${runId} ${version}`).toSorted()).toEqual(
      [`${advance.runId} 2`, `${b.id('late')} 2`].toSorted(),
    );
    expect(await b.store.resume([b.id('late')], null)).toHaveLength(1);
    expect(await claim(b, b.workflow)).toMatchObject([{ runId: b.id('late'), version: null }]);
  });
}
