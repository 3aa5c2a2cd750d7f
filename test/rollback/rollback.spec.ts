import {
  FailureContext,
  NonRetryableError,
  OnFailure,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
} from 'nestjs-workflow';
import { Injectable } from '@nestjs/common';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { boot, Executions, Gates, until, type Instance } from '../races/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

const executions = new Executions();
/** Rollbacks that fail, by name: how many times. */
const failing = new Map<string, number>();

@Injectable()
class Booking {
  @Step() async book(what: string): Promise<string> {
    executions.add();
    return `${what} booked`;
  }
  @Step({ retries: 0 }) async decline(): Promise<void> {
    throw new NonRetryableError('declined');
  }
  @Step() async undo(what: string): Promise<void> {
    executions.add();
    const left = failing.get(what) ?? 0;
    failing.set(what, left - 1);
    if (left > 0) throw new Error(`${what} cannot be undone yet`);
  }
  @Step() async regret(_why: string): Promise<void> {
    executions.add();
  }
}

type How = 'fails' | 'waits' | 'completes' | 'cancels' | 'before' | 'times out';

const SOON = { retries: 3, backoff: { initial: '10ms', jitter: false } } as const;

@Workflow({ name: 'trip', retries: 0 })
class Trip {
  constructor(private readonly booking: Booking) {}

  async run(ctx: WorkflowContext<How>): Promise<string> {
    const { booking } = this;
    if (ctx.payload === 'before') {
      ctx.onRollback('before', () => booking.undo('before'), SOON);
      await ctx.waitForEvent('never', `never ${ctx.runId}`);
    }
    const flight = await booking.book('flight');
    ctx.onRollback('flight', () => booking.undo(flight), SOON);
    const [hotel, car] = await Promise.all([booking.book('hotel'), booking.book('car')]);
    ctx.onRollback('hotel', () => booking.undo(hotel), SOON);
    ctx.onRollback('car', () => booking.undo(car), SOON);
    if (ctx.payload === 'waits') await ctx.waitForEvent('never', `never ${ctx.runId}`);
    if (ctx.payload === 'cancels') await ctx.cancel();
    if (ctx.payload === 'fails') await booking.decline();
    return 'done';
  }

  @OnFailure() async failed(ctx: FailureContext<How>): Promise<void> {
    const [one] = await Promise.all([this.booking.regret(ctx.error.message), this.booking.regret('twice')]);
    void one;
  }
}

const BOOKED = ['Booking.book', 'Booking.book#2', 'Booking.book#3'];
const UNDONE = ['rollback/car', 'rollback/hotel', 'rollback/flight'];

describe.each(DATABASES)('what a run did is undone, on $name', ({ name, create }) => {
  describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
    let database: TestDatabase;
    let instance: Instance;
    let client: WorkflowClient;
    const gates = new Gates();
    let runs = 0;
    const start = async (how: How) => client.trigger(Trip, how, { runId: `${name} ${transport} ${++runs}` });
    const undone = (runId: string): string[] =>
      executions.of(runId).filter((key) => key.startsWith('rollback/'));
    beforeAll(async () => {
      database = await create();
      instance = await boot(database, { providers: [Trip, Booking], transport, probe: gates });
      client = instance.get(WorkflowClient);
    });
    beforeEach(() => failing.clear());
    afterAll(async () => {
      await instance?.app.close();
      await database?.dispose();
    });

    it('when it fails, the last first, before its @OnFailure method', async () => {
      const run = await start('fails');
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
      const done = executions.of(run.runId);
      expect(done.filter((key) => BOOKED.includes(key)).toSorted()).toEqual(BOOKED);
      expect(done.slice(3, 6)).toEqual(UNDONE);
      expect(done.slice(6).toSorted()).toEqual(['onFailure/Booking.regret', 'onFailure/Booking.regret#2']);
    });

    it('not when it completes', async () => {
      const run = await start('completes');
      expect(await run.result()).toBe('done');
      expect(undone(run.runId)).toEqual([]);
    });

    it('when it is cancelled from outside, and then it is cancelled, without its @OnFailure method', async () => {
      const run = await start('waits');
      await until(async () => (await client.getWaiters(`never ${run.runId}`)).length === 1);
      expect(await client.cancel(run.runId)).toEqual({ cancelled: [run.runId] });
      expect(await client.cancel(run.runId)).toEqual({ cancelled: [] });
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(undone(run.runId)).toEqual(UNDONE);
      expect(executions.of(run.runId)).toHaveLength(6);
      const rows = await instance.rows(
        `select 1 from workflow_task k join workflow_run r on r.id = k.execution where r.run_id = '${run.runId}'`,
      );
      expect(rows).toEqual([]);
    });

    it('when it cancels itself', async () => {
      const run = await start('cancels');
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(undone(run.runId)).toEqual(UNDONE);
    });

    it('when it was registered before the first step', async () => {
      const run = await start('before');
      await until(async () => (await client.getWaiters(`never ${run.runId}`)).length === 1);
      await run.cancel();
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(executions.of(run.runId)).toEqual(['rollback/before']);
    });

    it('with retries, and one that fails for good leaves the others to be undone', async () => {
      failing.set('car booked', 1);
      failing.set('hotel booked', 100);
      const run = await start('fails');
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
      expect(undone(run.runId)).toEqual([
        'rollback/car',
        'rollback/car',
        ...Array.from({ length: 4 }, () => 'rollback/hotel'),
        'rollback/flight',
      ]);
      const entries = await client.journal(run.runId);
      expect(entries.find(({ key }) => key === 'rollback/hotel')).toMatchObject({
        error: { message: 'hotel booked cannot be undone yet' },
      });
    });

    it('when the cancel meets a step: what it gave is thrown away, what came before is undone', async () => {
      const gate = gates.hold('step-executed', ({ step }) => step === 'Booking.book#2');
      const run = await start('waits');
      await gate.reached;
      await run.cancel();
      gate.open();
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(undone(run.runId)).toEqual(['rollback/flight']);
    });

    it('when the cancel comes while the commit that knows of it is on its way', async () => {
      const next = `${name} ${transport} ${runs + 1}`;
      const gate = gates.hold('flush-sent', ({ runId }) => runId === next);
      const run = await start('waits');
      await gate.reached;
      const cancelled = client.cancel(run.runId);
      gate.open();
      expect((await cancelled).cancelled).toEqual([run.runId]);
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      const tasks = await instance.rows(`select 1 from workflow_task`);
      expect(tasks).toEqual([]);
    });
  });
});
