import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { currentStep, RunCancelledError, Workflow, WorkflowContext } from 'nestjs-workflow';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import {
  dump,
  Echo,
  Gated,
  Gates,
  session,
  Sleeps,
  startApp,
  untilBlocked,
  untilStatus,
  Waits,
  WORKFLOWS,
  type TestApp,
} from '../client/support.js';

/** Two steps beside each other. */
@Workflow({ name: 'two-gates' })
class TwoGates {
  constructor(readonly gates: Gates) {}
  async run(ctx: WorkflowContext<string>): Promise<string[]> {
    return Promise.all([this.gates.pass(`${ctx.payload} left`), this.gates.pass(`${ctx.payload} right`)]);
  }
}

/** Cancels itself from within. */
@Workflow({ name: 'cancels-itself' })
class CancelsItself {
  readonly caught: string[] = [];
  async run(ctx: WorkflowContext): Promise<string> {
    try {
      await ctx.run('before', async () => currentStep().step);
      await ctx.cancel();
      return 'never comes here';
    } catch {
      this.caught.push('catch');
      return 'caught';
    } finally {
      this.caught.push('finally');
    }
  }
}

const PROVIDERS = [...WORKFLOWS, TwoGates, CancelsItself];
const ended = (handle: { result(): Promise<unknown> }): Promise<unknown> =>
  handle.result().catch((error: unknown) => error);

describe.each(DATABASES)('cancel on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await create();
    test = await startApp(db, { providers: PROVIDERS });
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  it('ends runs that are pending, asleep or waiting, and nothing of them stays behind', async () => {
    const { client } = test;
    const runs = [
      await client.trigger(Echo, 1, { runId: 'pending', delay: '1h' }),
      await client.trigger(Sleeps, 1, { runId: 'asleep' }),
      await client.trigger(Waits, 'x', { runId: 'waits' }),
    ];
    await untilStatus(client, 'asleep', 'waiting');
    await untilStatus(client, 'waits', 'waiting');
    await client.run(Waits, 'waits').notify('something else', 1);
    for (const run of runs) await run.cancel();
    for (const run of runs) expect((await run.get()).status).toBe('cancelled');
    expect(await dump(test)).toMatchObject({ workflow_task: [], workflow_message: [] });
  });

  it('while a step executes: its signal fires, and its late result changes nothing', async () => {
    const { client, gates } = test;
    const run = await client.trigger(Gated, 'inline', { runId: 'inline' });
    const signal = await gates.enter('inline');
    expect(signal.aborted).toBe(false);
    await run.cancel();
    expect(signal.aborted).toBe(true);
    expect((signal.reason as Error).message).toBe('The run was cancelled');
    const before = await dump(test);
    gates.release('inline');
    expect(await ended(run)).toBeInstanceOf(RunCancelledError);
    await (await client.trigger(Echo, 'a lap later')).result();
    const { workflow_run: _, ...rest } = await dump(test);
    expect(rest).toEqual({
      workflow_step: before['workflow_step'],
      workflow_task: [],
      workflow_message: [],
      workflow_schedule: [],
    });
    expect((await run.get()).status).toBe('cancelled');
  });

  it('while steps execute beside each other: the signal of each fires', async () => {
    const { client, gates } = test;
    const run = await client.trigger(TwoGates, 'pair', { runId: 'pair' });
    const signals = await Promise.all([gates.enter('pair left'), gates.enter('pair right')]);
    expect(await client.cancel('pair')).toEqual({ cancelled: ['pair'] });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    gates.release('pair left');
    gates.release('pair right');
    expect(await ended(run)).toBeInstanceOf(RunCancelledError);
    expect(await client.journal('pair')).toEqual([]);
  });

  it('that comes before the last flush wins: the run stays cancelled', async () => {
    const { client, probe } = test;
    const flush = probe.hold('flush-sent', 'cancel first');
    const run = await client.trigger(Echo, 1, { runId: 'cancel first' });
    await flush.reached;
    expect(await client.cancel('cancel first')).toEqual({ cancelled: ['cancel first'] });
    flush.release();
    expect(await ended(run)).toBeInstanceOf(RunCancelledError);
    expect(await run.get()).not.toHaveProperty('result');
  });

  it('that comes after the last flush changes nothing: the run has its result', async () => {
    const { client, probe } = test;
    const durable = probe.hold('flush-durable', 'finish first');
    const run = await client.trigger(Echo, 1, { runId: 'finish first' });
    await durable.reached;
    expect(await client.cancel('finish first')).toEqual({ cancelled: [] });
    durable.release();
    expect(await run.result()).toBe(1);
  });

  it.each(['triggered', 'loaded', 'step-executed', 'flush-sent'] as const)(
    'of a run that is at "%s" ends it once',
    async (point) => {
      const { client, probe, gates } = test;
      const id = `at ${point}`;
      const held = probe.hold(point, id);
      const triggering = client.trigger(Gated, id, { runId: id });
      gates.release(id);
      await held.reached;
      expect(await client.cancel(id)).toEqual({ cancelled: [id] });
      held.release();
      expect(await ended(await triggering)).toBeInstanceOf(RunCancelledError);
      expect(await client.journal(id)).toEqual([]);
    },
  );

  it('twice, or by many at once, is once: one of them has done it', async () => {
    const { client } = test;
    await client.trigger(Waits, 'twice', { runId: 'twice' });
    await untilStatus(client, 'twice', 'waiting');
    const answers = await Promise.all(Array.from({ length: 10 }, () => client.cancel('twice')));
    expect(answers.flatMap(({ cancelled }) => cancelled)).toEqual(['twice']);
    const { finishedAt } = (await client.get('twice')) as { finishedAt: Date };
    await client.run(Waits, 'twice').cancel();
    expect(await client.get('twice')).toMatchObject({ status: 'cancelled', finishedAt });
  });

  it('by a filter ends all that it finds, whatever they are doing', async () => {
    const { client, gates } = test;
    const labels = ['all of these'];
    await client.trigger(Waits, 'f', { runId: 'f1', labels });
    await client.trigger(Gated, 'f2', { runId: 'f2', labels });
    await client.trigger(Echo, 1, { runId: 'f3', labels, delay: '1h' });
    const done = await client.trigger(Echo, 1, { runId: 'f4', labels });
    await done.result();
    await untilStatus(client, 'f1', 'waiting');
    const signal = await gates.enter('f2');
    const { cancelled } = await client.cancel({ label: 'all of these' });
    expect(cancelled.toSorted()).toEqual(['f1', 'f2', 'f3']);
    expect(signal.aborted).toBe(true);
    gates.release('f2');
    expect((await done.get()).status).toBe('completed');
  });

  it('from within ends the run, and no catch or finally of its code sees it', async () => {
    const run = await test.client.trigger(CancelsItself);
    expect(await ended(run)).toBeInstanceOf(RunCancelledError);
    expect(test.app.get(CancelsItself).caught).toEqual([]);
    expect(await test.client.journal(run.runId)).toMatchObject([{ key: 'before', state: 'journaled' }]);
  });
});

describe('cancel and a flush that meet on the row of the task', () => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await createPostgres();
    test = await startApp(db, { providers: PROVIDERS, runtime: { sideSteps: false } });
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  it.each(['cancel first', 'the end first'])('%s: the run ends once, as both were told', async (order) => {
    const { client, probe } = test;
    const [holder, observer] = [await session(db), await session(db)];
    try {
      const flush = probe.hold('flush-sent', order);
      const run = await client.trigger(Echo, 1, { runId: order });
      await flush.reached;
      await holder.query('begin');
      await holder.query(
        `select 1 from workflow_task where execution = (select id from workflow_run where run_id = $1) for update`,
        [order],
      );
      let cancelling: Promise<{ cancelled: string[] }>;
      if (order === 'cancel first') {
        cancelling = client.cancel(order);
        await untilBlocked(observer, "where r.status = 'active' and r.is_current");
        flush.release();
        await untilBlocked(observer, 'workflow_', 2);
      } else {
        flush.release();
        await untilBlocked(observer, 'owned as materialized');
        cancelling = client.cancel(order);
        await untilBlocked(observer, 'workflow_', 2);
      }
      await holder.query('commit');
      const { cancelled } = await cancelling;
      const result = await ended(run);
      // a flush does not wait for a lock for long: behind a slow machine it may come second after all
      const status = order === 'cancel first' || cancelled.length > 0 ? 'cancelled' : 'completed';
      expect((await run.get()).status).toBe(status);
      expect([cancelled.length, result instanceof RunCancelledError]).toEqual(
        status === 'cancelled' ? [1, true] : [0, false],
      );
    } finally {
      await holder.end();
      await observer.end();
    }
  });

  it('a step task that is inserted while the run is cancelled is not executed, and goes', async () => {
    const { client, probe, database, gates } = test;
    const [holder, observer] = [await session(db), await session(db)];
    try {
      const flush = probe.hold('flush-sent', 'late tasks');
      const run = await client.trigger(TwoGates, 'late', { runId: 'late tasks' });
      await flush.reached;
      await holder.query('begin');
      await holder.query(
        `select 1 from workflow_task where execution = (select id from workflow_run where run_id = $1) for update`,
        ['late tasks'],
      );
      flush.release();
      await untilBlocked(observer, 'owned as materialized');
      // its snapshot is older than the step tasks: it cannot see them
      const cancelling = client.cancel('late tasks');
      await untilBlocked(observer, 'workflow_', 2);
      await holder.query('commit');
      await cancelling;
      expect(await ended(run)).toBeInstanceOf(RunCancelledError);
      await expect.poll(() => database.source.query('select * from workflow_task')).toEqual([]);
      expect(gates.entered.has('late left')).toBe(false);
    } finally {
      await holder.end();
      await observer.end();
    }
  });
});
