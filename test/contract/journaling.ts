import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { AdvanceCommit } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

export function journaling(bench: () => Bench): void {
  it('loads the header and everything journaled beyond a position, and all that is pending', async () => {
    const b = bench();
    const task = await b.claimed('r', { payload: '{"a":[1]}', labels: ['x'] });
    await b.commit(task, {
      rows: [b.fact('a', 1), b.fact('b', 2), b.journalRow('nap', { kind: 'sleep', wakeAt: b.now + 500 })],
    });
    const all = await b.load(task);
    expect(all.header).toMatchObject({ runId: task.runId, payload: '{"a":[1]}', labels: ['x'], attempt: 1 });
    expect(all.now).toBe(b.now);
    expect(all.rows.map(({ key }) => key).toSorted()).toEqual(['a', 'b', 'nap']);
    expect(all.rows.find(({ key }) => key === 'a')).toEqual(b.fact('a', 1));
    const beyond = await b.load(task, 1);
    expect(beyond.rows.map(({ key }) => key).toSorted()).toEqual(['b', 'nap']);
    expect(beyond.rows.find(({ key }) => key === 'nap')).toMatchObject({ wakeAt: b.now + 500 });
  });

  it('reads with a claim what a load would give, where the journal is no longer than asked for', async () => {
    const b = bench();
    const first = await b.claimed('r', { payload: '{"a":"\\"ü"}', labels: ['x'], deadlineInMs: 90_000 });
    await b.commit(first, {
      rows: [
        b.fact('a', 1, '"\\u2028 \\"quoted\\""'),
        b.journalRow('nap', { kind: 'sleep', wakeAt: b.now + 500.25 }),
        b.journalRow('go', { kind: 'wait', event: 'go' }),
        b.journalRow('side', { dispatched: true, digest: 'd', request: '{"url":"u"}' }),
      ],
      tasks: [{ key: 'side', kind: 'step', dueAt: b.now + 60_000 }],
      next: { to: 'suspend', dueAt: b.now + 500 },
    });
    const [older, newer] = [randomUUID(), randomUUID()].toSorted();
    for (const [eventId, data] of [
      [older!, '"one"'],
      [newer!, '2'],
    ] as const)
      await b.store.notify({ eventId, event: 'go', data, runId: first.runId, keepForMs: null });
    const claim = (rows?: number) => b.store.claim(b.worker, [b.workflow], 10, null, 0, [0], rows);
    const { tasks, loads } = await claim(4);
    const loaded = await b.load(tasks[0]!);
    // a store may leave it to the load
    const read = loads ? loads.get(tasks[0]!.taskId)! : loaded;
    expect(read.inbox.map(({ data }) => data)).toEqual(['"one"', '2']);
    const sorted = (of: typeof read) => ({
      ...of,
      rows: of.rows.toSorted((x, y) => (x.key < y.key ? -1 : 1)),
    });
    expect(sorted(read)).toEqual(sorted(loaded));
    for (const rows of [3, 0, undefined]) {
      const [task] = tasks;
      await b.store.release([{ ...task!, fence: (await b.beat(task!.taskId))! }], 0);
      const again = await claim(rows);
      expect(again.tasks).toHaveLength(1);
      expect(again.loads?.size ?? 0).toBe(0);
    }
  });

  it('gives a step task the journal, and of what is pending its own row alone', async () => {
    const b = bench();
    const advance = await b.claimed();
    await b.commit(advance, {
      rows: [
        b.fact('first', 1),
        b.journalRow('left', { dispatched: true }),
        b.journalRow('right', { dispatched: true }),
        b.journalRow('wait', { kind: 'wait', event: 'e' }),
      ],
      tasks: [
        { key: 'left', kind: 'step' as const, dueAt: b.now },
        { key: 'right', kind: 'step' as const, dueAt: b.now + 1000 },
      ],
      next: { to: 'suspend', dueAt: null },
    });
    await b.store.notify({
      eventId: crypto.randomUUID(),
      event: 'e',
      data: '1',
      runId: null,
      keepForMs: null,
    });
    const claimed = await b.claim();
    const left = claimed.find(({ step }) => step === 'left')!;
    const loaded = await b.load(left);
    expect(loaded.rows.map(({ key }) => key).toSorted()).toEqual(['first', 'left']);
    expect(loaded.inbox).toEqual([]);
    // what a delivery says of its task is compared with what the task is
    expect(loaded.step).toBe('left');
    expect((await b.load(claimed.find(({ step }) => step === null)!)).step).toBeNull();
    expect((await b.load(left, 2 ** 31 - 1)).rows.map(({ key }) => key)).toEqual(['left']);
  });

  it('gives nothing for a lease that is lost, a task that is gone, a run that has ended', async () => {
    const b = bench();
    const [a, gone] = [await b.claimed('a'), await b.claimed('gone')];
    await b.commit(gone, { next: { to: 'completed', result: '1' } });
    const loads = await b.store.load(
      [a, { ...a, fence: a.fence + 1 }, gone, { taskId: '999999999', fence: 1 }].map(({ taskId, fence }) => ({
        taskId,
        fence,
        position: 0,
      })),
    );
    expect(loads.map((loaded) => loaded?.header.runId ?? null)).toEqual([a.runId, null, null, null]);
  });

  it('answers a lost lease and the present one of the same task in one batch each for itself', async () => {
    const b = bench();
    const old = await b.claimed();
    await b.commit(old, { rows: [b.fact('a', 1)] });
    await b.store.release([old], 0);
    const [present] = await b.claim();
    const { taskId } = old;
    const loads = await b.store.load([
      { taskId, fence: old.fence, position: 0 },
      { taskId, fence: present!.fence, position: 0 },
      { taskId, fence: present!.fence, position: 1 },
    ]);
    expect(loads.map((loaded) => loaded?.rows.length ?? null)).toEqual([null, 1, 0]);
  });

  it('goes on under the lease, counting commits where copies of a delivery are possible', async () => {
    const b = bench();
    const task = await b.claimed();
    expect(await b.commit(task, { turn: 0, rows: [b.fact('a', 1)] })).toBe('committed');
    expect(await b.load(task)).toMatchObject({ turn: 1 });
    expect(await b.commit(task, { turn: 0, rows: [b.fact('b', 2)] })).toBe('lost');
    expect(await b.commit(task, { turn: 1, rows: [b.fact('b', 2)] })).toBe('committed');
    expect((await b.load(task)).rows).toHaveLength(2);
  });

  it('does not count commits in-process: nothing there comes twice', async () => {
    const b = bench();
    const task = await b.claimed();
    expect(await b.commit(task, { rows: [b.fact('a', 1)] })).toBe('committed');
    expect(await b.load(task)).toMatchObject({ turn: 0 });
  });

  it('writes nothing at all under a wrong fence', async () => {
    const b = bench();
    const task = await b.claimed();
    const wrong = { ...task, fence: task.fence + 1 };
    const before = await b.load(task);
    expect(
      await b.commit(wrong, {
        rows: [b.fact('a', 1)],
        tasks: [{ key: 'a', kind: 'step' as const, dueAt: b.now }],
        next: { to: 'completed', result: '1' },
      }),
    ).toBe('lost');
    expect(await b.commit(wrong, { next: { to: 'suspend', dueAt: b.now } })).toBe('lost');
    expect(await b.load(task)).toEqual(before);
    expect(await b.claim()).toEqual([]);
    expect(await b.status(task)).toBe('running');
  });

  it('never changes what is journaled', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.commit(task, { rows: [b.fact('a', 1, '"first"')] });
    await b.commit(task, { rows: [b.fact('a', 1, '"second"'), b.journalRow('a')] });
    expect((await b.load(task)).rows).toEqual([b.fact('a', 1, '"first"')]);
  });

  it('suspends until a time: the lease is free, and the task is due then', async () => {
    const b = bench();
    const task = await b.claimed();
    expect(await b.commit(task, { next: { to: 'suspend', dueAt: b.now + 300 } })).toBe('committed');
    expect(await b.status(task)).toBe('waiting');
    expect(await b.claim()).toEqual([]);
    b.clock.pass(300);
    expect(await b.claim()).toHaveLength(1);
  });

  it('leaves the task due when something arrived since the load, and says so', async () => {
    const b = bench();
    const task = await b.claimed();
    const { wanted } = await b.load(task);
    await b.store.notify({
      eventId: crypto.randomUUID(),
      event: 'e',
      data: '1',
      runId: task.runId,
      keepForMs: null,
    });
    expect(
      await b.commit(task, { wantedSeen: wanted, next: { to: 'suspend', dueAt: b.now + 9_000_000 } }),
    ).toBe('due');
    const [again] = await b.claim();
    const loaded = await b.load(again!);
    expect(loaded).toMatchObject({ wanted: 1, inbox: [{ event: 'e', data: '1' }] });
    // seen now: the next one sleeps
    expect(await b.commit(again!, { wantedSeen: loaded.wanted, next: { to: 'suspend', dueAt: null } })).toBe(
      'committed',
    );
    expect(await b.claim()).toEqual([]);
  });

  it('records the attempt of a run that is tried again, and why a run is stuck', async () => {
    const b = bench();
    const task = await b.claimed();
    await b.commit(task, { next: { to: 'suspend', dueAt: b.now, attempt: 2, stuck: 'another kind' } });
    expect(await b.store.find(task.runId)).toMatchObject({ attempt: 2, stuck: 'another kind' });
    const [again] = await b.claim();
    await b.commit(again!, { next: { to: 'suspend', dueAt: null } });
    expect(await b.store.find(task.runId)).toMatchObject({ attempt: 2, stuck: null });
  });

  it.each([
    [{ to: 'completed', result: '"r"' } as const, { status: 'completed', result: '"r"', error: null }],
    [{ to: 'failed', error: '{"e":1}' } as const, { status: 'failed', result: null, error: '{"e":1}' }],
    [{ to: 'cancelled' } as const, { status: 'cancelled', result: null, error: null }],
  ])('ends a run once, with all its tasks and messages: %j', async (next, expected) => {
    const b = bench();
    const { advance, step } = await b.withStep();
    await b.store.notify({
      eventId: crypto.randomUUID(),
      event: 'e',
      data: '1',
      runId: advance.runId,
      keepForMs: null,
    });
    const [again] = await b.claim();
    expect(await b.commit(again!, { rows: [b.fact('last', 1)], next })).toBe('committed');
    expect(await b.store.find(advance.runId)).toMatchObject({ ...expected, finishedAt: b.now });
    expect(await b.load(step)).toBeNull();
    expect(await b.answer(step)).toBe('lost');
    b.clock.pass(1000);
    expect(await b.claim()).toEqual([]);
    // whoever held the lease before cannot end it a second time
    expect(await b.commit(advance, { next: { to: 'cancelled' } })).toBe('lost');
  });

  it('repeated unchanged after a lost reply, a commit that goes on or ends is committed still', async () => {
    const b = bench();
    const task = await b.claimed();
    const on = { rows: [b.fact('a', 1)] };
    expect([await b.commit(task, on), await b.commit(task, on)]).toEqual(['committed', 'committed']);
    const end = { rows: [b.fact('b', 2)], next: { to: 'completed', result: '1' } as const };
    expect([await b.commit(task, end), await b.commit(task, end)]).toEqual(['committed', 'committed']);
    expect(await b.store.journal(task.runId)).toEqual([b.fact('a', 1), b.fact('b', 2)]);
  });

  it.each<{ ended: AdvanceCommit['next']; other: AdvanceCommit['next'] }>([
    { ended: { to: 'completed', result: '1' }, other: { to: 'completed', result: '2' } },
    { ended: { to: 'completed', result: '1' }, other: { to: 'failed', error: '1' } },
    { ended: { to: 'failed', error: 'a' }, other: { to: 'failed', error: 'b' } },
    { ended: { to: 'cancelled' }, other: { to: 'completed', result: '1' } },
    {
      ended: { to: 'continued', payload: '1', deadlineInMs: null },
      other: { to: 'completed', result: '1' },
    },
  ])('an end that another copy of the delivery has brought is not this one: $ended, $other', async (ends) => {
    const b = bench();
    const task = await b.claimed();
    expect(await b.commit(task, { next: ends.ended })).toBe('committed');
    expect(await b.commit(task, { next: ends.other })).toBe('lost');
    expect(await b.commit(task, { next: ends.ended })).toBe('committed');
  });

  it('repeated unchanged, a commit that suspends does not bring back a step task that was answered meanwhile', async () => {
    const b = bench();
    const advance = await b.claimed();
    const commit = {
      rows: [b.journalRow('pack', { dispatched: true })],
      tasks: [{ key: 'pack', kind: 'step' as const, dueAt: b.now }],
      next: { to: 'suspend', dueAt: null } as const,
    };
    expect(await b.commit(advance, commit)).toBe('committed');
    const [step] = await b.claim();
    expect(await b.answer(step!)).toBe('committed');
    // the reply was lost: the same statement comes again, and finds the step answered
    await b.commit(advance, commit);
    expect((await b.claim()).map((task) => task.step)).toEqual([null]);
    expect(await b.store.journal(advance.runId)).toMatchObject([
      { key: 'pack', state: 'answered', answer: { ok: true } },
    ]);
  });

  it('inserts the task of a step that executes already leased to who executes it, once', async () => {
    const b = bench();
    const [advance, mine] = [await b.claimed(), randomUUID()];
    const commit = {
      rows: [b.journalRow('mine', { dispatched: true }), b.journalRow('free', { dispatched: true })],
      tasks: [
        { key: 'mine', kind: 'step' as const, dueAt: b.now, owner: mine },
        { key: 'free', kind: 'step' as const, dueAt: b.now },
      ],
      next: { to: 'suspend', dueAt: null } as const,
    };
    expect(await b.commit(advance, commit)).toBe('committed');
    expect(await b.commit(advance, commit)).toBe('committed');
    const leased = await b.store.leased(advance.execution, mine);
    expect(leased).toEqual([{ key: 'mine', taskId: expect.any(String), fence: 1 }]);
    expect(await b.store.leased(advance.execution, randomUUID())).toEqual([]);
    expect((await b.claim()).map(({ step }) => step)).toEqual(['free']);
    // it is answered under that lease, and the run hears of it; repeated after that, the commit does not bring it back
    expect(await b.answer({ ...advance, ...leased[0]!, step: 'mine', kind: 'step' })).toBe('committed');
    expect(await b.commit(advance, commit)).toBe('due');
    expect(await b.store.leased(advance.execution, mine)).toEqual([]);
    expect((await b.claim()).map(({ step }) => step)).toEqual([null]);
  });

  it('repeated unchanged, a commit that suspends does not undo a counted attempt', async () => {
    const b = bench();
    const advance = await b.claimed();
    const commit = {
      rows: [b.journalRow('pack', { dispatched: true })],
      tasks: [{ key: 'pack', kind: 'step' as const, dueAt: b.now }],
      next: { to: 'suspend', dueAt: null } as const,
    };
    await b.commit(advance, commit);
    const [step] = await b.claim();
    const failed = { ...b.answerOf(step!).row, answer: { ok: false, failure: '{"f":1}' } as const };
    await b.answer(step!, { row: failed, retryAt: b.now + 1000 });
    await b.commit(advance, commit);
    expect(await b.store.journal(advance.runId)).toMatchObject([
      { key: 'pack', state: 'pending', attempts: 1, wakeAt: b.now + 1000 },
    ]);
  });

  it('keeps what a failed attempt notes in `request`, and what the answer says of it', async () => {
    const b = bench();
    const { advance, step } = await b.withStep();
    const pending = { ...b.answerOf(step).row, answer: null, request: '{"failures":2}' };
    expect(await b.answer(step, { row: pending, retryAt: b.now + 1000 })).toBe('committed');
    expect(await b.store.journal(advance.runId)).toMatchObject([
      { key: 'pack', state: 'pending', answer: null, request: '{"failures":2}', wakeAt: b.now + 1000 },
    ]);
    b.clock.pass(1000);
    const [again] = await b.claim();
    expect((await b.load(again!)).rows).toMatchObject([{ request: '{"failures":2}' }]);
    const answered = { ...b.answerOf(again!).row, request: null };
    expect(await b.answer(again!, { row: answered })).toBe('committed');
    expect(await b.store.journal(advance.runId)).toMatchObject([{ state: 'answered', request: null }]);
  });

  it('takes the results of many runs in one batch, and the lost ones hinder nobody', async () => {
    const b = bench();
    const tasks = await Promise.all(['a', 'b', 'c', 'd'].map((name) => b.claimedTogether(name)));
    await b.store.cancel({ runIds: [tasks[1]!.runId] });
    const results = await b.store.commit(
      tasks.map((task, i) => b.commitOf(task, { rows: [b.fact('s', 1, String(i))] })),
    );
    expect(results).toEqual(['committed', 'lost', 'committed', 'committed']);
    expect((await b.load(tasks[3]!)).rows).toEqual([b.fact('s', 1, '3')]);
  });

  it('takes an answer: the step has no position yet, its task is gone, the run is due', async () => {
    const b = bench();
    const { advance, step } = await b.withStep();
    expect(await b.answer(step)).toBe('committed');
    expect(await b.load(step)).toBeNull();
    const [again] = await b.claim();
    expect(again).toMatchObject({ runId: advance.runId, step: null });
    expect(await b.load(again!)).toMatchObject({
      wanted: 1,
      rows: [{ key: 'pack', state: 'answered', position: null, answer: { ok: true, value: '"packed"' } }],
    });
    expect(await b.commit(again!, { rows: [b.fact('pack', 1, '"packed"')] })).toBe('committed');
    expect((await b.load(again!)).rows).toMatchObject([{ state: 'journaled', position: 1 }]);
  });

  it('leaves the run due when an answer comes while an activation suspends', async () => {
    const b = bench();
    const { advance, step } = await b.withStep();
    await b.store.reactivate(advance.execution, false);
    const [again] = await b.claim();
    const { wanted } = await b.load(again!);
    await b.answer(step);
    expect(await b.commit(again!, { wantedSeen: wanted, next: { to: 'suspend', dueAt: null } })).toBe('due');
  });

  it('takes an answer once', async () => {
    const b = bench();
    const { step } = await b.withStep();
    const answer = b.answerOf(step);
    expect(await b.store.answer([answer])).toEqual(['committed']);
    const other = { ...answer, row: { ...answer.row, answer: { ok: true, value: '"other"' } as const } };
    expect(await b.store.answer([other])).toEqual(['lost']);
    expect(await b.store.journal(step.runId)).toMatchObject([{ answer: { value: '"packed"' } }]);
  });

  it('keeps a failed attempt pending until its retry, and shuts a late copy of its delivery out', async () => {
    const b = bench();
    const { step } = await b.withStep();
    const row = { ...b.answerOf(step).row, answer: { ok: false, failure: '{"f":1}' } as const };
    expect(await b.answer(step, { row, retryAt: b.now + 1000 })).toBe('committed');
    expect(await b.store.journal(step.runId)).toMatchObject([
      { state: 'pending', attempts: 1, answer: { ok: false, failure: '{"f":1}' }, wakeAt: b.now + 1000 },
    ]);
    // the lease is free; what was delivered under it may no longer execute, nor answer
    expect(await b.load(step)).toBeNull();
    expect(await b.answer(step)).toBe('lost');
    expect(await b.claim()).toEqual([]);
    b.clock.pass(1000);
    const [again] = await b.claim();
    expect(again).toMatchObject({ step: 'pack' });
    expect(await b.load(again!)).toMatchObject({ turn: 0, rows: [{ attempts: 1 }] });
  });

  it('answers two steps of one run in one batch, and the run has heard of both', async () => {
    const b = bench();
    const advance = await b.claimed();
    await b.commit(advance, {
      rows: ['x', 'y'].map((key) => b.journalRow(key, { dispatched: true })),
      tasks: ['x', 'y'].map((key) => ({ key, kind: 'step' as const, dueAt: b.now })),
      next: { to: 'suspend', dueAt: null },
    });
    const steps = await b.claim();
    expect(await b.store.answer(steps.map((step) => b.answerOf(step)))).toEqual(['committed', 'committed']);
    const [again] = await b.claim();
    expect(await b.load(again!)).toMatchObject({
      wanted: 2,
      rows: [{ state: 'answered' }, { state: 'answered' }],
    });
  });

  it('keeps every text as it is', async () => {
    const b = bench();
    const text = '"\'; drop table x -- \\ {} é 漢 🎈 \u0001\u2028"';
    const task = await b.claimed('r', { payload: text, labels: [text] });
    await b.commit(task, { rows: [b.fact('kéy ✓', 1, text)] });
    const { header, rows } = await b.load(task);
    expect([header.payload, header.labels[0], rows[0]!.answer]).toEqual([
      text,
      text,
      { ok: true, value: text },
    ]);
  });
}
