import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import {
  dump,
  Echo,
  Go,
  startApp,
  untilPaid,
  untilStatus,
  Waits,
  WaitsAnHour,
  type TestApp,
} from './support.js';

describe.each(DATABASES)('cancel and notify on $name', ({ create }) => {
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

  /** Runs that wait for `Go(name)`, one for each name. */
  async function waiting(names: readonly string[], event = names[0]!, labels: string[] = []) {
    const { client } = test;
    const handles = await client.triggerMany(
      Waits,
      names.map((runId) => ({ payload: event, runId, labels })),
    );
    for (const name of names) await untilStatus(client, name, 'waiting');
    return handles;
  }

  it('cancels one run, by its id or its handle', async () => {
    const { client } = test;
    const [a, b] = await waiting(['a', 'b']);
    expect(await client.cancel('a')).toEqual({ cancelled: ['a'] });
    expect(await b!.cancel()).toBeUndefined();
    expect([(await a!.get()).status, (await b!.get()).status]).toEqual(['cancelled', 'cancelled']);
    expect(await client.cancel('a')).toEqual({ cancelled: [] });
  });

  it('cancels many, and says which: those that have ended, or never were, are not among them', async () => {
    const { client } = test;
    await waiting(['c', 'd']);
    await (await client.trigger(Echo, 1, { runId: 'ended' })).result();
    const { cancelled } = await client.cancel(['c', 'ended', 'd', 'never was']);
    expect(cancelled.toSorted()).toEqual(['c', 'd']);
    expect((await client.get('ended')).status).toBe('completed');
    expect(await client.cancel([])).toEqual({ cancelled: [] });
  });

  it('a cancelled handle of a run that has ended leaves it as it is', async () => {
    const run = await test.client.trigger(Echo, 1);
    await run.result();
    await run.cancel();
    expect(await run.result()).toBe(1);
  });

  it('cancels what a filter finds, and nothing else', async () => {
    const { client } = test;
    await waiting(['e', 'f'], 'e', ['doomed']);
    await waiting(['g']);
    const { cancelled } = await client.cancel({ label: 'doomed', workflow: Waits });
    expect(cancelled.toSorted()).toEqual(['e', 'f']);
    expect((await client.get('g')).status).toBe('waiting');
    expect((await client.cancel({ workflow: Waits, status: 'waiting' })).cancelled).toContain('g');
  });

  it.each([{}, { label: undefined }, { anything: 'else' }])(
    'refuses the empty filter %j: it would cancel every run',
    async (filter) => {
      const runId = `kept from ${Object.keys(filter).join()}`;
      await waiting([runId]);
      // what a test before this one has cancelled is paid by a pass of its own
      await untilPaid(test);
      const before = await dump(test);
      await expect(test.client.cancel(filter)).rejects.toMatchObject({
        code: 'WF_INVALID_ARGUMENT',
        message: expect.stringContaining('cancel({}) would cancel every run; give a condition.'),
      });
      expect(await dump(test)).toEqual(before);
      await test.client.cancel(runId);
    },
  );

  it('sends an event to everyone who waits for it, and names them', async () => {
    const { client } = test;
    const handles = await waiting(['n1', 'n2', 'n3'], 'all');
    const { woken, kept } = await client.notify(Go('all'), 'hello');
    expect([woken.toSorted(), kept]).toEqual([['n1', 'n2', 'n3'], false]);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(['hello', 'hello', 'hello']);
  });

  it('an event nobody waits for is gone, unless it is to be kept', async () => {
    const { client } = test;
    expect(await client.notify(Go('later'), 'lost')).toEqual({ woken: [], kept: false });
    expect(await client.notify(Go('later'), 'kept', { keepFor: '1h' })).toEqual({ woken: [], kept: true });
    const run = await client.trigger(Waits, 'later');
    expect(await run.result()).toBe('kept');
  });

  it('an event for one run stays until that run waits for it', async () => {
    const { client } = test;
    // it does not begin to wait before it is sent, however busy the machine is: the event itself wakes it
    const run = await client.trigger(Waits, 'mine', { runId: 'mine', delay: '1h' });
    expect(await run.notify(Go('mine'), 'for you')).toEqual({ woken: [], kept: true });
    expect(await run.result()).toBe('for you');
    expect(await run.notify(Go('mine'), 'too late')).toEqual({ woken: [], kept: false });
  });

  it('an event for one run is not given to another that waits for the same', async () => {
    const { client } = test;
    const [one, two] = await waiting(['o1', 'o2'], 'only one');
    expect(await one!.notify(Go('only one'), 'x')).toEqual({ woken: ['o1'], kept: false });
    expect(await one!.result()).toBe('x');
    expect((await two!.get()).status).toBe('waiting');
    await client.cancel('o2');
  });

  it('takes an event by its id as well as by its token', async () => {
    const [run] = await waiting(['by id']);
    expect((await test.client.notify('go:by id', 'text')).woken).toEqual(['by id']);
    expect(await run!.result()).toBe('text');
  });

  it('lists who waits for an event, longest first', async () => {
    const { client } = test;
    await waiting(['w1'], 'whom');
    await client.trigger(WaitsAnHour, 'whom', { runId: 'w2' });
    await untilStatus(client, 'w2', 'waiting');
    const waiters = await client.getWaiters(Go('whom'));
    expect(waiters).toEqual([
      { runId: 'w1', workflow: 'waits', step: 'go', since: expect.any(Date), timeoutAt: null },
      {
        runId: 'w2',
        workflow: 'waits-an-hour',
        step: 'go',
        since: expect.any(Date),
        timeoutAt: expect.any(Date),
      },
    ]);
    expect(waiters[1]!.timeoutAt!.getTime() - waiters[1]!.since.getTime()).toBeCloseTo(3_600_000, -1);
    expect(await client.getWaiters('go:whom')).toEqual(waiters);
    await client.notify(Go('whom'), 'you');
    await client.run(Waits, 'w1').result();
    await client.run(WaitsAnHour, 'w2').result();
    expect(await client.getWaiters(Go('whom'))).toEqual([]);
  });

  it('refuses to keep an event for one run for a time: it is kept until that run ends', async () => {
    await expect(test.client.notify(Go('x'), 'y', { runId: 'r', keepFor: '1h' })).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
      message: expect.stringContaining('`keepFor` does not go with `runId`'),
    });
  });
});
