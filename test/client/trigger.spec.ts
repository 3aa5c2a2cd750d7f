import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WorkflowScheduler } from 'nestjs-workflow';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import {
  dump,
  Echo,
  Fails,
  OtherEcho,
  Sleeps,
  startApp,
  statementsOf,
  untilStatus,
  Waits,
  type TestApp,
} from './support.js';

describe.each(DATABASES)('trigger on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await create();
    test = await startApp(db);
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  it('starts a run by class and by name, and hands over its result', async () => {
    const { client } = test;
    const byClass = await client.trigger(Echo, { n: 1 });
    const byName = await client.trigger('echo', { n: 2 });
    expect([byClass.created, byName.created]).toEqual([true, true]);
    expect([await byClass.result(), await byName.result()]).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it('gives a run without an id a random one', async () => {
    const [a, b] = await Promise.all([test.client.trigger(Echo, 1), test.client.trigger(Echo, 1)]);
    expect(a.runId).toMatch(/^[0-9a-f-]{36}$/);
    expect(a.runId).not.toBe(b.runId);
  });

  it('with the same id and payload gives the same run, while it goes on and after it has ended', async () => {
    const { client } = test;
    const first = await client.trigger(Waits, 'same', { runId: 'same' });
    const again = await client.trigger(Waits, 'same', { runId: 'same' });
    expect([first.created, again.created]).toEqual([true, false]);
    await first.notify({ id: 'go:same' }, 'went');
    expect(await again.result()).toBe('went');
    const late = await client.trigger(Waits, 'same', { runId: 'same' });
    expect(late.created).toBe(false);
    expect(await late.result()).toBe('went');
    expect((await client.list({ workflow: Waits, label: undefined })).runs).toHaveLength(1);
  });

  it('takes payloads that are equal for the same, whatever objects they are', async () => {
    const { client } = test;
    await client.trigger(Echo, { d: new Date(5), m: new Map([[1, 2n]]) }, { runId: 'equal' });
    const again = await client.trigger(Echo, { d: new Date(5), m: new Map([[1, 2n]]) }, { runId: 'equal' });
    expect(again.created).toBe(false);
  });

  it.each([
    ['another payload', Echo, { n: 2 }, 'with another payload'],
    ['another workflow', OtherEcho, { n: 1 }, 'of workflow "echo" and not "other-echo"'],
  ] as const)(
    'refuses an id that is taken by %s, and writes nothing',
    async (_what, workflow, payload, why) => {
      const { client } = test;
      const run = await client.trigger(Echo, { n: 1 }, { runId: 'taken' });
      await run.result();
      // a run of a test before this one may still be on its way to its end
      await test.app.get(WorkflowScheduler).quiet();
      const before = await dump(test);
      await expect(client.trigger(workflow, payload, { runId: 'taken' })).rejects.toMatchObject({
        code: 'WF_RUN_EXISTS',
        statusCode: 409,
        message: `Run taken exists, ${why}. Use another runId, or trigger with the same workflow and payload. [WF_RUN_EXISTS]`,
      });
      expect(await dump(test)).toEqual(before);
    },
  );

  it('twice at the same moment: one run, created by one of the calls', async () => {
    const handles = await Promise.all(
      Array.from({ length: 20 }, () => test.client.trigger(Echo, 7, { runId: 'at once' })),
    );
    expect(handles.filter(({ created }) => created)).toHaveLength(1);
    expect(await handles[5]!.result()).toBe(7);
  });

  it('starts after a delay, or at a time, and not before', async () => {
    const { client } = test;
    const started = Date.now();
    const delayed = await client.trigger(Echo, 1, { delay: '250ms' });
    const dated = await client.trigger(Echo, 2, { notBefore: new Date(started + 250) });
    const { status } = await delayed.get();
    // on a machine that is busy the time may have come; it is claimed a moment before
    if (Date.now() < started + 200) expect(status).toBe('pending');
    expect(await Promise.all([delayed.result(), dated.result()])).toEqual([1, 2]);
    for (const handle of [delayed, dated]) {
      const run = await handle.get();
      if (run.status !== 'completed') throw new Error(run.status);
      // the database's clock and this one are of the same machine; its own ms are rounded
      expect(run.finishedAt.getTime()).toBeGreaterThanOrEqual(started + 249);
    }
  });

  it('starts when the time has passed already', async () => {
    const run = await test.client.trigger(Echo, 1, { notBefore: new Date(0) });
    expect(await run.result({ timeout: '5s' })).toBe(1);
  });

  it('keeps labels, and shows them', async () => {
    const labels = ['tenant:7', 'with "quotes", and {braces}', 'ü✓'];
    const run = await test.client.trigger(Echo, 1, { labels });
    expect((await run.get()).labels).toEqual(labels);
    expect((await test.client.list({ label: labels[1] })).runs.map(({ runId }) => runId)).toEqual([
      run.runId,
    ]);
  });

  it('sends one statement when the id is new, and none of another run waits for it', async () => {
    const names = await statementsOf(test, () => test.client.trigger(Sleeps, 1, { delay: '1h' }));
    expect(names.filter((name) => name === 'workflow_trigger_lean')).toHaveLength(1);
    expect(names).not.toContain('workflow_existing_runs');
  });

  describe('of many', () => {
    it('starts all in one statement, in the order given', async () => {
      const { client } = test;
      const items = Array.from({ length: 50 }, (_, i) => ({
        payload: i,
        runId: `many-${(i * 7) % 50}`,
        labels: ['many'],
      }));
      let handles: Awaited<ReturnType<typeof client.triggerMany<Echo>>> = [];
      const names = await statementsOf(test, async () => {
        handles = await client.triggerMany(Echo, items);
      });
      expect(names.filter((name) => name === 'workflow_trigger')).toHaveLength(1);
      expect(handles.map(({ runId }) => runId)).toEqual(items.map(({ runId }) => runId));
      expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(
        items.map(({ payload }) => payload),
      );
    });

    it('starts nothing, and asks nobody, when none are given', async () => {
      const names = await statementsOf(test, () => test.client.triggerMany(Echo, []));
      expect(names.filter((name) => name === 'workflow_trigger')).toEqual([]);
    });

    it('gives runs that exist as they are', async () => {
      const { client } = test;
      const [first] = await client.triggerMany(Echo, [{ payload: 'a', runId: 'exists' }]);
      const handles = await client.triggerMany(Echo, [
        { payload: 'b', runId: 'is new' },
        { payload: 'a', runId: 'exists' },
      ]);
      expect([first!.created, ...handles.map(({ created }) => created)]).toEqual([true, true, false]);
    });

    it.each([
      ['a payload that cannot be stored', { payload: { f: () => 1 } }, 'WF_NOT_SERIALIZABLE'],
      ['a payload that is too large', { payload: 'x'.repeat(2 ** 20) }, 'WF_TOO_LARGE'],
      ['a run id with a NUL', { payload: 1, runId: 'a\0b' }, 'WF_INVALID_ARGUMENT'],
      ['a label with a NUL', { payload: 1, labels: ['a\0b'] }, 'WF_INVALID_ARGUMENT'],
      ['a delay without a unit', { payload: 1, delay: '5' as '5s' }, 'WF_INVALID_DURATION'],
      ['a taken id', { payload: 'other', runId: 'is taken' }, 'WF_RUN_EXISTS'],
      ['an id of another item with another payload', { payload: 2, runId: 'fine' }, 'WF_RUN_EXISTS'],
    ])('starts none of them when one has %s', async (_what, item, code) => {
      const { client } = test;
      const taken = await client.trigger(Echo, 'mine', { runId: 'is taken' });
      await taken.result();
      // a run of a test before this one may still be on its way to its end
      await test.app.get(WorkflowScheduler).quiet();
      const before = await dump(test);
      await expect(
        client.triggerMany(Echo, [{ payload: 1, runId: 'fine' }, item, { payload: 3 }]),
      ).rejects.toMatchObject({ code });
      expect(await dump(test)).toEqual(before);
    });
  });

  it('is seen in every status by get', async () => {
    const { client, gates } = test;
    const pending = await client.trigger(Echo, 1, { delay: '1h' });
    const running = await client.trigger('gated', 'seen');
    await gates.enter('seen');
    const waiting = await client.trigger(Waits, 'nobody', { runId: 'waiting' });
    const completed = await client.trigger(Echo, { deep: [1n] });
    await completed.result();
    const failed = await client.trigger(Fails, 'you');
    await expect(failed.result()).rejects.toThrow('no funds');
    const cancelled = await client.trigger(Waits, 'nobody');
    await cancelled.cancel();
    await untilStatus(client, 'waiting', 'waiting');
    expect((await pending.get()).status).toBe('pending');
    expect((await running.get()).status).toBe('running');
    const { finishedAt, ...run } = (await completed.get()) as { finishedAt: Date };
    expect(run).toEqual({
      runId: completed.runId,
      workflow: 'echo',
      payload: { deep: [1n] },
      labels: [],
      attempt: 1,
      createdAt: expect.any(Date),
      status: 'completed',
      result: { deep: [1n] },
    });
    expect(finishedAt).toBeInstanceOf(Date);
    expect(await failed.get()).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('no funds for you'), step: 'charge' },
      finishedAt: expect.any(Date),
    });
    expect(await cancelled.get()).toMatchObject({ status: 'cancelled', finishedAt: expect.any(Date) });
    expect(await waiting.get()).not.toHaveProperty('finishedAt');
    gates.release('seen');
  });
});
