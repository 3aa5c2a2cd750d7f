import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunCancelledError, RunFailedError } from 'nestjs-workflow';
import { RunIntake } from '../../lib/ports/index.js';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import {
  Echo,
  Fails,
  Gated,
  Go,
  startApp,
  statementsOf,
  untilStatus,
  Waits,
  type TestApp,
} from './support.js';

describe.each(DATABASES)('a result on $name', ({ create }) => {
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

  it('comes as soon as the run has ended, to all who wait for it', async () => {
    const run = await test.client.trigger(Waits, 'many', { runId: 'many' });
    const results = Promise.all([run.result(), run.result(), test.client.run(Waits, 'many').result()]);
    await untilStatus(test.client, 'many', 'waiting');
    await run.notify(Go('many'), 'done');
    expect(await results).toEqual(['done', 'done', 'done']);
  });

  it('of a run that ended long ago comes at once, by one read', async () => {
    const run = await test.client.trigger(Echo, 'old');
    // told by the end itself, while the first look may still be on its way; the second time by a look
    await run.result();
    await run.result();
    const names = await statementsOf(test, () => run.result());
    expect(names.filter((name) => /find|ended/.test(name))).toEqual(['workflow_ended_runs']);
  });

  it('of a run that is advanced here is told, and not read', async () => {
    // a machine that is busy comes to the look behind it: then there is nothing to be seen, and another one is tried
    for (let n = 0, isQuick = false; !isQuick; n++) {
      expect(n).toBeLessThan(20);
      const id = `here ${n}`;
      let asked = 0;
      const names = await statementsOf(test, async () => {
        const run = await test.client.trigger(Gated, id, { runId: id });
        await test.gates.enter(id);
        asked = performance.now();
        const result = run.result();
        test.gates.release(id);
        expect(await result).toBe(`passed ${id}`);
      });
      isQuick = performance.now() - asked < 200;
      if (isQuick) expect(names.filter((name) => name === 'workflow_ended_runs')).toEqual([]);
    }
  });

  it('of a run that is advanced here comes by polling when it is not told', async () => {
    const intake = test.app.get(RunIntake, { strict: false });
    const { onEnded } = intake;
    intake.onEnded = () => () => undefined;
    try {
      const run = await test.client.trigger(Gated, 'untold', { runId: 'untold' });
      await test.gates.enter('untold');
      expect(intake.isUnderWay('untold')).toBe(true);
      // one caller after another does not put the look off for the first
      const results = Promise.all([run.result({ timeout: '10s' }), run.result({ timeout: '10s' })]);
      test.gates.release('untold');
      expect(await results).toEqual(['passed untold', 'passed untold']);
      // the look may be back before the reply to the commit that it has seen
      await expect.poll(() => intake.isUnderWay('untold')).toBe(false);
    } finally {
      intake.onEnded = onEnded;
    }
  });

  it('is awaited for many runs by one statement', async () => {
    const { client } = test;
    const handles = await client.triggerMany(
      Waits,
      Array.from({ length: 50 }, (_, i) => ({ payload: 'fifty', runId: `fifty-${i}` })),
    );
    // the last one may wait before others do, and who does not is not told
    await expect.poll(async () => (await client.getWaiters(Go('fifty'))).length).toBe(50);
    const names = await statementsOf(test, async () => {
      const results = Promise.all(handles.map((handle) => handle.result()));
      await client.notify(Go('fifty'), 'x');
      expect(new Set(await results)).toEqual(new Set(['x']));
    });
    // each handle looks once whether its run is there; from then on they wait together
    expect(names.filter((name) => name === 'workflow_ended_runs').length).toBeLessThan(25);
  });

  it('not in time is an error that says so, and the run goes on', async () => {
    const { client } = test;
    const run = await client.trigger(Waits, 'slow', { runId: 'slow' });
    await expect(run.result({ timeout: '20ms' })).rejects.toMatchObject({
      code: 'WF_RESULT_TIMEOUT',
      message:
        'Run slow has not ended within 20 ms. The run still goes on; ask again later, or give `result()` a longer timeout. [WF_RESULT_TIMEOUT]',
    });
    await run.notify(Go('slow'), 'at last');
    expect(await run.result()).toBe('at last');
  });

  it('with no time at all is there or not', async () => {
    const run = await test.client.trigger(Waits, 'zero');
    await expect(run.result({ timeout: '0s' })).rejects.toMatchObject({ code: 'WF_RESULT_TIMEOUT' });
    const ended = await test.client.trigger(Echo, 1);
    await ended.result();
    expect(await ended.result({ timeout: '0s' })).toBe(1);
    await run.cancel();
  });

  it('refuses a timeout that is no duration', async () => {
    const run = await test.client.trigger(Echo, 1);
    await expect(run.result({ timeout: '5' as '5s' })).rejects.toMatchObject({ code: 'WF_INVALID_DURATION' });
  });

  it('of a failed run is an error with the step, the code and what it threw', async () => {
    const run = await test.client.trigger(Fails, 'Ada', { runId: 'failed' });
    const error: unknown = await run.result().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RunFailedError);
    expect(error).toMatchObject({ code: 'WF_RUN_FAILED', runId: 'failed' });
    expect((error as Error).message).toContain('no funds for Ada');
    expect(await run.get()).toMatchObject({
      status: 'failed',
      error: { step: 'charge', message: expect.stringContaining('no funds for Ada') },
    });
  });

  it('of a cancelled run is an error, also for who awaits it meanwhile', async () => {
    const run = await test.client.trigger(Waits, 'cancelled', { runId: 'cancelled' });
    await untilStatus(test.client, 'cancelled', 'waiting');
    const awaited = run.result().catch((thrown: unknown) => thrown);
    await run.cancel();
    expect(await awaited).toBeInstanceOf(RunCancelledError);
    await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED', runId: 'cancelled' });
  });
});

describe('a result of a run that another instance ends', () => {
  let db: TestDatabase;
  let worker: TestApp;
  let caller: TestApp;
  beforeAll(async () => {
    db = await createPostgres();
    worker = await startApp(db);
    caller = await startApp(db, { workflow: { worker: false } });
  });
  afterAll(async () => {
    await caller?.close();
    await worker?.close();
    await db?.dispose();
  });

  it('comes although nothing is claimed here', async () => {
    const run = await caller.client.trigger(Echo, 'over there');
    expect(await run.result({ timeout: '10s' })).toBe('over there');
  });

  it('is announced: the caller looks when it is told, not only when it polls', async () => {
    const run = await caller.client.trigger(Gated, 'announced', { runId: 'announced' });
    await worker.gates.enter('announced');
    const intake = caller.app.get(RunIntake, { strict: false });
    const told = new Promise<void>((resolve) => {
      const stop = intake.onEnded(() => {
        stop();
        resolve();
      });
    });
    const result = run.result({ timeout: '10s' });
    worker.gates.release('announced');
    await told;
    expect(await result).toBe('passed announced');
  });

  it('comes by polling when every announcement is lost', async () => {
    const deaf = await startApp(db, { workflow: { worker: false } });
    const intake = deaf.app.get(RunIntake, { strict: false });
    // as behind a transaction pooler: nobody refuses to listen, and nothing ever comes
    intake.onEnded = () => () => undefined;
    try {
      const run = await deaf.client.trigger(Gated, 'deaf', { runId: 'deaf' });
      await worker.gates.enter('deaf');
      const result = run.result({ timeout: '10s' });
      worker.gates.release('deaf');
      expect(await result).toBe('passed deaf');
    } finally {
      await deaf.close();
    }
  });
});
