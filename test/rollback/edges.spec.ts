import {
  currentStep,
  FailureContext,
  NonRetryableError,
  OnFailure,
  Workflow,
  WorkflowClient,
  WorkflowContext,
} from 'nestjs-workflow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boot, Executions, Gates, until, type Instance } from '../races/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

const executions = new Executions();
const note = (): void => executions.add();

/** Bodies of runs, by the name that the payload gives. */
const BODIES: Record<string, (ctx: WorkflowContext<string>) => Promise<unknown>> = {
  async failing(ctx) {
    await ctx.run('one', note);
    ctx.onRollback('one', note);
    throw new NonRetryableError('failed');
  },
  async limited(ctx) {
    ctx.onRollback('first', note);
    ctx.onRollback('second', note, { flowControl: { key: 'undo', parallelism: 1 } });
    await ctx.run('one', note);
    throw new NonRetryableError('failed');
  },
  async conditional(ctx) {
    ctx.onRollback('first', note);
    const { timedOut } = await ctx.waitForEvent('more', `more ${ctx.runId}`, { timeout: '10ms' });
    if (timedOut) ctx.onRollback('second', note);
    await ctx.run('one', note);
    throw new NonRetryableError('failed');
  },
  async attempts(ctx) {
    await ctx.run('one', note);
    ctx.onRollback('one', note);
    await ctx.run('two', note);
    ctx.onRollback('two', note);
    throw new Error(`attempt ${ctx.attempt}`);
  },
  async backoff(ctx) {
    await ctx.run('one', note);
    ctx.onRollback('one', note);
    throw new Error('again in an hour');
  },
  async late(ctx) {
    await ctx.run('one', note);
    ctx.onRollback(
      'undo',
      () => {
        note();
        if (currentStep().attempt === 1) throw new Error('not yet');
      },
      { backoff: { initial: '1ms' } },
    );
    // a branch that the run has left behind, and that goes on when nobody asks it any more
    const late = () =>
      ctx.onRollback('undo', () => {
        throw new NonRetryableError('late');
      });
    if (recalled.has(ctx.runId)) late();
    else void new Promise<void>((resolve) => branches.set(ctx.runId, resolve)).then(late);
    recalled.add(ctx.runId);
    throw new NonRetryableError('failed');
  },
};
const branches = new Map<string, () => void>();
const recalled = new Set<string>();

class Base {
  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    const body = BODIES[ctx.payload];
    if (body) return body(ctx);
    ctx.onRollback('hotel', note);
    return ctx.run(ctx.payload, note);
  }
}

@Workflow({ name: 'once', retries: 0 })
class Once extends Base {
  @OnFailure() async failed(ctx: FailureContext<string>): Promise<void> {
    if (ctx.payload === 'failing') await Promise.all([ctx.run('a', note), ctx.run('b', note)]);
  }
}

@Workflow({ name: 'thrice', retries: 2, backoff: { initial: '10ms', jitter: false } })
class Thrice extends Base {}

@Workflow({ name: 'hourly', retries: 2, backoff: { initial: '1h', jitter: false } })
class Hourly extends Base {}

// long enough for its step on a machine that is busy
@Workflow({ name: 'short', retries: 0, timeout: '2s' })
class Short {
  async run(ctx: WorkflowContext): Promise<void> {
    await ctx.run('one', note);
    ctx.onRollback('one', note);
    await ctx.waitForEvent('never', 'never');
  }
}

describe.each(DATABASES)('undoing on $name', ({ name, create }) => {
  describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
    let database: TestDatabase;
    let instance: Instance;
    let client: WorkflowClient;
    const gates = new Gates();
    let runs = 0;
    const fresh = (): string => `${name} ${transport} edges ${++runs}`;
    beforeAll(async () => {
      database = await create();
      const providers = [Once, Thrice, Hourly, Short];
      instance = await boot(database, { providers, transport, probe: gates });
      client = instance.get(WorkflowClient);
    });
    afterAll(async () => {
      await instance?.app.close();
      await database?.dispose();
    });
    const tasksOf = (runId: string) =>
      instance.rows<{ step_key: string }>(
        `select k.step_key from workflow_task k join workflow_run r on r.id = k.execution where r.run_id = '${runId}'`,
      );

    it('has been done when a cancel meets the @OnFailure method: the run is cancelled then', async () => {
      const runId = fresh();
      const gate = gates.hold('step-executed', ({ step }) => step === 'onFailure/a');
      const run = await client.trigger(Once, 'failing', { runId });
      await gate.reached;
      expect((await client.cancel(runId)).cancelled).toEqual([runId]);
      gate.open();
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(executions.of(runId).filter((key) => key === 'rollback/one')).toEqual(['rollback/one']);
      expect(await tasksOf(runId)).toEqual([]);
    });

    it('goes on to its end when a cancel meets it, and then there is no @OnFailure method', async () => {
      const runId = fresh();
      const gate = gates.hold('step-executed', ({ step }) => step === 'rollback/second');
      const run = await client.trigger(Once, 'limited', { runId });
      await gate.reached;
      expect((await client.cancel(runId)).cancelled).toEqual([runId]);
      gate.open();
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(new Set(executions.of(runId))).toEqual(new Set(['one', 'rollback/second', 'rollback/first']));
      expect(await tasksOf(runId)).toEqual([]);
    });

    it('with flow control of its own waits in that line', async () => {
      const run = await client.trigger(Once, 'limited', { runId: fresh() });
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
      expect(executions.of(run.runId)).toEqual(['one', 'rollback/second', 'rollback/first']);
    });

    it.each(['rollback/hotel', 'onFailure/a', '@failure'])(
      'is not taken for a step of run: %s is no name of one',
      async (step) => {
        const run = await client.trigger(Once, step, { runId: fresh() });
        await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({
          failure: { code: 'WF_INVALID_ARGUMENT', message: expect.stringContaining(`"${step}"`) },
        });
        expect(executions.of(run.runId)).toEqual(['rollback/hotel']);
      },
    );

    it('knows what was registered after a wait', async () => {
      const run = await client.trigger(Once, 'conditional', { runId: fresh() });
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
      expect(executions.of(run.runId)).toEqual(['one', 'rollback/second', 'rollback/first']);
      const other = await client.trigger(Once, 'conditional', { runId: fresh() });
      await client.notify(`more ${other.runId}`, 1, { runId: other.runId });
      await expect(other.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
    });

    it('is done once for all attempts of a run', async () => {
      const run = await client.trigger(Thrice, 'attempts', { runId: fresh() });
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({
        failure: { message: 'attempt 3' },
      });
      expect(executions.of(run.runId)).toEqual(['one', 'two', 'rollback/two', 'rollback/one']);
    });

    it('is done when the run is cancelled between two attempts', async () => {
      const runId = fresh();
      const run = await client.trigger(Hourly, 'backoff', { runId });
      await until(async () => (await run.get()).attempt === 2);
      await run.cancel();
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(executions.of(runId)).toEqual(['one', 'rollback/one']);
    });

    it('is done when the time of the run is up', async () => {
      const run = await client.trigger(Short, undefined, { runId: fresh() });
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({
        failure: { code: 'WF_RUN_TIMEOUT' },
      });
      expect(executions.of(run.runId)).toEqual(['one', 'rollback/one']);
    });

    it('leaves out what a branch registers when the run has failed', async () => {
      const gate = gates.hold('step-executed', ({ step }) => step === 'rollback/undo');
      const run = await client.trigger(Once, 'late', { runId: fresh() });
      await gate.reached;
      branches.get(run.runId)!();
      gate.open();
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
      expect(executions.of(run.runId)).toEqual(['one', 'rollback/undo', 'rollback/undo']);
      const undo = (await client.journal(run.runId)).find(({ key }) => key === 'rollback/undo');
      expect(undo).toMatchObject({ state: 'journaled', attempts: 2 });
    });

    it('of a run that never began is nothing', async () => {
      const run = await client.trigger(Once, 'failing', { runId: fresh(), delay: '1h' });
      await run.cancel();
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(executions.of(run.runId)).toEqual([]);
      expect(await tasksOf(run.runId)).toEqual([]);
    });
  });
});
