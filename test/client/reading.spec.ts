import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Workflow, WorkflowContext } from 'nestjs-workflow';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { Echo, Fails, Go, Sleeps, startApp, untilStatus, WORKFLOWS, type TestApp } from './support.js';

@Workflow({ name: 'eventful' })
class Eventful {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    const one = await ctx.run('one', async () => ({ n: 1n }));
    await ctx.run('declined', () => Promise.reject(new Error('no')), { retries: 0 }).catch(() => undefined);
    const timedOut = await ctx.waitForEvent('soon', 'nobody sends this', { timeout: '1ms' });
    await ctx.sleep('nap', '1ms');
    const { data } = await ctx.waitForEvent('go', Go(ctx.payload));
    return `${one.n} ${timedOut.timedOut} ${data}`;
  }
}

@Workflow({ name: 'stubborn' })
class Stubborn {
  async run(ctx: WorkflowContext): Promise<void> {
    await ctx.run('try', () => Promise.reject(new Error('not yet')), {
      backoff: { initial: '1h', max: '1h' },
    });
  }
}

describe.each(DATABASES)('reading runs on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await create();
    test = await startApp(db, { providers: [...WORKFLOWS, Eventful, Stubborn] });
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  it('the journal tells what a run has done and what it waits for, in order', async () => {
    const { client } = test;
    const run = await client.trigger(Eventful, 'j', { runId: 'j' });
    await untilStatus(client, 'j', 'waiting');
    await expect
      .poll(async () => (await client.journal('j')).map(({ key }) => key))
      .toEqual(['one', 'declined', 'soon', 'nap', 'go']);
    const entries = await client.journal('j');
    expect(entries).toMatchObject([
      { key: 'one', kind: 'step', state: 'journaled', position: 1, attempts: 1, result: { n: 1n } },
      { key: 'declined', kind: 'step', state: 'journaled', position: 2, error: { message: 'no' } },
      {
        key: 'soon',
        kind: 'wait',
        state: 'journaled',
        position: 3,
        timedOut: true,
        event: 'nobody sends this',
      },
      { key: 'nap', kind: 'sleep', state: 'journaled', position: 4 },
      { key: 'go', kind: 'wait', state: 'pending', position: null, event: 'go:j', wakeAt: null },
    ]);
    expect(entries[2]).not.toHaveProperty('result');
    expect(entries[3]).not.toHaveProperty('result');
    expect(entries[4]!.askedAt).toBeInstanceOf(Date);
    await run.notify(Go('j'), 'data');
    expect(await run.result()).toBe('1 true data');
    expect((await client.journal('j'))[4]).toMatchObject({ state: 'journaled', result: 'data', position: 5 });
  });

  it('the journal shows the last error of a step that will be tried again, and when', async () => {
    const { client } = test;
    await client.trigger(Stubborn, undefined, { runId: 'stubborn' });
    await untilStatus(client, 'stubborn', 'waiting');
    const [entry] = await client.journal('stubborn');
    expect(entry).toMatchObject({
      key: 'try',
      state: 'pending',
      attempts: 1,
      error: { name: 'Error', message: 'not yet' },
    });
    expect(entry!.wakeAt!.getTime()).toBeGreaterThan(entry!.askedAt.getTime() + 1_799_000);
    expect(await client.get('stubborn')).toMatchObject({ status: 'waiting' });
  });

  it('the journal of a run that has done nothing is empty, and of no run is an error', async () => {
    const { client } = test;
    await client.trigger(Echo, 1, { runId: 'empty', delay: '1h' });
    expect(await client.journal('empty')).toEqual([]);
    await expect(client.journal('no such run')).rejects.toMatchObject({ code: 'WF_RUN_NOT_FOUND' });
  });

  it('pages come newest first, each run once, and the last one has no cursor', async () => {
    const { client } = test;
    const label = 'paged';
    const items = Array.from({ length: 25 }, (_, i) => ({ payload: i, runId: `p${i}`, labels: [label] }));
    await client.triggerMany(Echo, items);
    const pages: string[][] = [];
    let cursor: string | undefined;
    do {
      const page = await client.list({ label, limit: 10, ...(cursor !== undefined && { cursor }) });
      pages.push(page.runs.map(({ runId }) => runId));
      // a run that is added between two pages disturbs none of them
      await client.trigger(Echo, 1, { labels: [label] });
      ({ cursor } = page);
    } while (cursor !== undefined);
    expect(pages.map(({ length }) => length)).toEqual([10, 10, 5]);
    expect(new Set(pages.flat()).size).toBe(25);
    expect(new Set(pages.flat())).toEqual(new Set(items.map(({ runId }) => runId)));
  });

  it('a page that is just full is the last one', async () => {
    const { client } = test;
    await client.triggerMany(
      Echo,
      [1, 2, 3].map((payload) => ({ payload, labels: ['three'] })),
    );
    expect(await client.list({ label: 'three', limit: 3 })).not.toHaveProperty('cursor');
    expect((await client.list({ label: 'three', limit: 2 })).cursor).toMatch(/^\d+$/);
  });

  it('filters narrow each other: workflow by class or name, status, label, time', async () => {
    const { client } = test;
    const labels = ['filtered'];
    const slept = await client.trigger(Sleeps, 1, { labels, runId: 'f1' });
    await untilStatus(client, slept.runId, 'waiting');
    const failed = await client.trigger(Fails, 'x', { labels: [...labels, 'red'], runId: 'f2' });
    await expect(failed.result()).rejects.toThrow('no funds');
    const echo = await client.trigger(Echo, 1, { labels, runId: 'f3' });
    await echo.result();
    const found = async (query: Parameters<typeof client.list>[0]): Promise<string[]> =>
      (await client.list({ label: 'filtered', ...query })).runs.map(({ runId }) => runId);
    expect(await found({})).toEqual(['f3', 'f2', 'f1']);
    expect(await found({ workflow: Sleeps })).toEqual(['f1']);
    expect(await found({ workflow: 'fails' })).toEqual(['f2']);
    expect(await found({ workflow: 'no longer served' })).toEqual([]);
    expect(await found({ status: 'completed' })).toEqual(['f3']);
    expect(await found({ status: 'waiting' })).toEqual(['f1']);
    expect(await found({ status: 'waiting', workflow: Echo })).toEqual([]);
    expect(await found({ label: 'red' })).toEqual(['f2']);
    const { createdAt } = await failed.get();
    const after = new Date(createdAt.getTime() + 1);
    expect(await found({ createdBefore: after })).toEqual(['f2', 'f1']);
    expect(await found({ createdAfter: after })).toEqual(['f3']);
    expect((await client.list({ label: 'filtered', limit: 1 })).runs[0]).toMatchObject({
      runId: 'f3',
      status: 'completed',
      result: 1,
    });
  });

  it.each([0, 1001, 2.5, NaN, -1])('refuses a limit of %s', async (limit) => {
    await expect(test.client.list({ limit })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
      message: expect.stringContaining(`limit is ${limit}; it is a whole number from 1 to 1000.`),
    });
  });

  it.each(['', 'abc', '1; drop table', '-1', '9'.repeat(19)])('refuses the cursor %j', async (cursor) => {
    await expect(test.client.list({ cursor })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
      message: expect.stringContaining('The cursor is not one that list() gave.'),
    });
  });

  it('refuses filters that are none', async () => {
    const { client } = test;
    const list = (query: unknown) => client.list(query as object);
    await expect(list({ createdAfter: 'today' })).rejects.toMatchObject({ code: 'WF_INVALID_ARGUMENT' });
    await expect(list({ createdBefore: new Date(NaN) })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
    });
    await expect(list({ label: 'a\0b' })).rejects.toMatchObject({ code: 'WF_INVALID_ARGUMENT' });
    await expect(list({ workflow: Date })).rejects.toMatchObject({ code: 'WF_UNKNOWN_WORKFLOW' });
    await expect(list({ status: 'done' })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
      message: expect.stringContaining('pending, running, waiting, completed, failed, cancelled'),
    });
  });

  it('a handle by id reads nothing until it is used, and says when there is no such run', async () => {
    const { client } = test;
    const run = client.run(Echo, 'nobody');
    expect([run.runId, run.created]).toEqual(['nobody', false]);
    const notFound = {
      code: 'WF_RUN_NOT_FOUND',
      statusCode: 404,
      message:
        'There is no run nobody. Check the run id; `client.list()` shows the runs that exist. [WF_RUN_NOT_FOUND]',
    };
    await expect(run.get()).rejects.toMatchObject(notFound);
    await expect(run.result()).rejects.toMatchObject(notFound);
    await expect(run.cancel()).rejects.toMatchObject(notFound);
    await expect(run.notify('e', 1)).rejects.toMatchObject({ code: 'WF_RUN_NOT_FOUND' });
    await client.trigger(Echo, { n: 1 }, { runId: 'somebody' });
    expect(await client.run('echo', 'somebody').result()).toEqual({ n: 1 });
    expect(() => client.run(Echo, '')).toThrow('The run id must be a string that is not empty.');
  });
});
