import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { RunFilter } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

/** Five runs in different states, each triggered a second after the one before. */
async function fleet(b: Bench): Promise<{ ids: Record<string, string>; start: number }> {
  const start = b.now;
  const ids: Record<string, string> = {};
  for (const name of ['ended', 'failed', 'running', 'waiting', 'pending']) {
    ids[name] = b.id(name);
    const labels = name.endsWith('ing') ? ['busy', name] : ['over'];
    await b.store.trigger([b.row(ids[name], { labels, owner: name === 'pending' ? null : b.worker })]);
    b.clock.pass(1000);
  }
  const leases = new Map<string, { taskId: string; fence: number; execution: string }>();
  for (const name of ['ended', 'failed', 'waiting']) {
    const { execution } = (await b.store.find(ids[name]!))!;
    const [again] = await b.store.trigger([b.row(ids[name]!)]);
    expect(again!.created).toBe(false);
    leases.set(name, { execution, ...(await leaseOf(b, execution)) });
  }
  const commit = (name: string, next: Parameters<Bench['commitOf']>[1]) =>
    b.store.commit([
      b.commitOf(
        { ...leases.get(name)!, runId: '', workflow: b.workflow, version: null, step: null, kind: 'advance' },
        next ?? {},
      ),
    ]);
  await commit('ended', { next: { to: 'completed', result: '"done"' } });
  await commit('failed', { next: { to: 'failed', error: '{"why":1}' } });
  await commit('waiting', { next: { to: 'suspend', dueAt: b.now + 1_000_000 } });
  return { ids, start };
}

/** What is leased to the bench's worker for this run. */
async function leaseOf(b: Bench, execution: string): Promise<{ taskId: string; fence: number }> {
  for (const lease of (await b.store.beat(b.worker, [])).leases) {
    const loaded = await b.load(lease);
    if (loaded?.header.execution === execution) return lease;
  }
  throw new Error(`nothing of execution ${execution} is leased`);
}

export function ending(bench: () => Bench): void {
  it('finds a run as it is', async () => {
    const b = bench();
    const { ids, start } = await fleet(b);
    expect(await b.store.find(ids['ended']!)).toMatchObject({
      status: 'completed',
      result: '"done"',
      error: null,
      createdAt: start,
      finishedAt: b.now,
    });
    expect(await b.store.find(ids['failed']!)).toMatchObject({ status: 'failed', error: '{"why":1}' });
    for (const status of ['running', 'waiting', 'pending'])
      expect(await b.store.find(ids[status]!)).toMatchObject({ status, finishedAt: null, result: null });
    expect(await b.store.find(b.id('nobody'))).toBeNull();
  });

  it('lists newest first, in pages that neither skip nor repeat when runs are added meanwhile', async () => {
    const b = bench();
    await b.store.trigger(Array.from({ length: 7 }, (_, i) => b.row(b.id(`r${i}`))));
    const filter = { workflow: b.workflow };
    const seen: string[] = [];
    let before: string | null = null;
    for (;;) {
      const page = await b.store.list(filter, 3, before);
      if (page.length === 0) break;
      seen.push(...page.map(({ runId }) => runId));
      before = page.at(-1)!.execution;
      await b.store.trigger([b.row(b.id(`added-${seen.length}`))]);
    }
    expect(seen).toHaveLength(7);
    expect(new Set(seen).size).toBe(7);
    const executions = (await b.store.list(filter, 100, null)).map(({ execution }) => BigInt(execution));
    expect(executions).toEqual(executions.toSorted((x, y) => (x < y ? 1 : -1)));
  });

  it('lists by each filter, and by several at once', async () => {
    const b = bench();
    const { ids, start } = await fleet(b);
    const names = async (filter: RunFilter): Promise<string[]> =>
      (await b.store.list({ workflow: b.workflow, ...filter }, 100, null)).map(
        ({ runId }) => Object.entries(ids).find(([, id]) => id === runId)![0],
      );
    expect(await names({})).toEqual(['pending', 'waiting', 'running', 'failed', 'ended']);
    for (const status of ['running', 'waiting', 'pending', 'failed'] as const)
      expect(await names({ status })).toEqual([status]);
    expect(await names({ status: 'completed' })).toEqual(['ended']);
    expect(await names({ status: 'cancelled' })).toEqual([]);
    expect(await names({ label: 'over' })).toEqual(['failed', 'ended']);
    expect(await names({ label: 'busy', status: 'waiting' })).toEqual(['waiting']);
    expect(await names({ label: 'ove' })).toEqual([]);
    expect(await names({ createdAfter: new Date(start + 3000) })).toEqual(['pending', 'waiting']);
    expect(await names({ createdBefore: new Date(start + 1000) })).toEqual(['ended']);
    expect(await names({ runIds: [ids['failed']!, b.id('nobody')] })).toEqual(['failed']);
    expect(await names({ runIds: [] })).toEqual([]);
    expect(await b.store.list({ workflow: b.id('nobody') }, 10, null)).toEqual([]);
  });

  it.each<[string, (b: Bench, ids: Record<string, string>, start: number) => RunFilter, string[]]>([
    ['ids', (_b, ids) => ({ runIds: [ids['running']!, ids['ended']!] }), ['running']],
    ['workflow', (b) => ({ workflow: b.workflow }), ['pending', 'running', 'waiting']],
    ['label', (b) => ({ label: 'waiting', workflow: b.workflow }), ['waiting']],
    ['status pending', (b) => ({ status: 'pending', workflow: b.workflow }), ['pending']],
    ['status waiting', (b) => ({ status: 'waiting', workflow: b.workflow }), ['waiting']],
    ['status running', (b) => ({ status: 'running', workflow: b.workflow }), ['running']],
    ['a status that is an end', (b) => ({ status: 'completed', workflow: b.workflow }), []],
    [
      'created after',
      (b, _ids, start) => ({ createdAfter: new Date(start + 3000), workflow: b.workflow }),
      ['pending', 'waiting'],
    ],
    [
      'created before',
      (b, _ids, start) => ({ createdBefore: new Date(start + 3000), workflow: b.workflow }),
      ['running'],
    ],
  ])('cancels by %s, and what has ended stays as it is', async (_what, filter, expected) => {
    const b = bench();
    const { ids, start } = await fleet(b);
    const cancelled = await b.store.cancel(filter(b, ids, start));
    expect(cancelled.map(({ runId }) => runId).toSorted()).toEqual(
      expected.map((name) => ids[name]!).toSorted(),
    );
    for (const [name, id] of Object.entries(ids)) {
      const was = name === 'ended' ? 'completed' : name;
      expect((await b.store.find(id))!.status).toBe(expected.includes(name) ? 'cancelled' : was);
    }
    expect(await b.store.cancel(filter(b, ids, start))).toEqual([]);
  });

  it('cancels with everything that belongs to the run: nobody writes for it again', async () => {
    const b = bench();
    const { advance, step } = await b.withStep();
    const [cancelled] = await b.store.cancel({ runIds: [advance.runId] });
    expect(cancelled).toEqual({ execution: advance.execution, runId: advance.runId });
    expect(await b.store.find(advance.runId)).toMatchObject({ status: 'cancelled', finishedAt: b.now });
    expect(await b.answer(step)).toBe('lost');
    expect(await b.commit(advance, { next: { to: 'completed', result: '1' } })).toBe('lost');
    expect(await b.store.journal(advance.runId)).toMatchObject([{ key: 'pack', state: 'pending' }]);
    b.clock.pass(10_000);
    expect(await b.claim()).toEqual([]);
  });

  it('leaves a run that has ended to its end, in whichever order', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.commit(task, { next: { to: 'completed', result: '1' } });
    expect(await b.store.cancel({ runIds: [task.runId] })).toEqual([]);
    expect(await b.status(task)).toBe('completed');
  });

  it('gives the journal in order: facts by position, then what is pending', async () => {
    const b = bench();
    const task = await b.claimed();
    const pending = b.journalRow('z', { kind: 'wait', event: 'e' });
    await b.commit(task, { rows: [b.fact('b', 2), pending, b.fact('a', 1)] });
    expect(await b.store.journal(task.runId)).toEqual([b.fact('a', 1), b.fact('b', 2), pending]);
    await b.store.trigger([b.row(b.id('empty'))]);
    expect(await b.store.journal(b.id('empty'))).toEqual([]);
    expect(await b.store.journal(b.id('nobody'))).toBeNull();
  });

  it('tells which of many runs have ended', async () => {
    const b = bench();
    const { ids } = await fleet(b);
    const ended = await b.store.ended([...Object.values(ids), b.id('nobody'), randomUUID()]);
    expect(new Map(ended.map(({ runId, status }) => [runId, status]))).toEqual(
      new Map([
        [ids['ended'], 'completed'],
        [ids['failed'], 'failed'],
      ]),
    );
    expect(await b.store.ended([])).toEqual([]);
  });
}
