import {
  ChildFailedError,
  NonRetryableError,
  StepFailedError,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowError,
} from 'nestjs-workflow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boot, until, type Instance } from '../races/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

class CardDeclined extends NonRetryableError {}

interface Job {
  n: number;
  how?: 'fails' | 'waits' | 'declined';
}

@Workflow({ name: 'child', retries: 0 })
class Child {
  async run(ctx: WorkflowContext<Job>): Promise<{ doubled: number; at: Date }> {
    const { n, how } = ctx.payload;
    if (how === 'waits') await ctx.waitForEvent('go', `go ${ctx.runId}`);
    if (how === 'declined') {
      await ctx.run('charge', () => {
        throw new CardDeclined(`no funds for ${n}`);
      });
    }
    if (how === 'fails') throw new Error(`child ${n} failed`);
    const doubled = await ctx.run('double', () => n * 2);
    return { doubled, at: new Date(n) };
  }
}

@Workflow({ name: 'parent', retries: 0 })
class Parent {
  async run(ctx: WorkflowContext<{ jobs: Job[]; runId?: string; onParentCancel?: 'cancel' | 'abandon' }>) {
    const { jobs, ...options } = ctx.payload;
    const settled = await Promise.allSettled(
      jobs.map((job) => ctx.invoke(`job ${job.n}`, Child, job, options)),
    );
    return settled.map((one) =>
      one.status === 'fulfilled'
        ? one.value
        : {
            name: (one.reason as Error).name,
            child: one.reason instanceof ChildFailedError && !one.reason.cancelled,
            cancelled: one.reason instanceof ChildFailedError && one.reason.cancelled,
            declined: one.reason instanceof StepFailedError && one.reason.is(CardDeclined),
            message: (one.reason as StepFailedError).failure.message,
          },
    );
  }
}

@Workflow({ name: 'nested', retries: 0 })
class Nested {
  async run(ctx: WorkflowContext<number>): Promise<number> {
    return ctx.payload === 0 ? 0 : 1 + (await ctx.invoke('deeper', Nested, ctx.payload - 1));
  }
}

@Workflow({ name: 'fails with its child', retries: 5 })
class FailsWithChild {
  async run(ctx: WorkflowContext<Job>): Promise<unknown> {
    return ctx.invoke('job', Child, ctx.payload);
  }
}

describe.each(DATABASES)('a child run on $name', ({ create }) => {
  describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
    let database: TestDatabase;
    let instance: Instance;
    let client: WorkflowClient;
    beforeAll(async () => {
      database = await create();
      const providers = [Child, Parent, Nested, FailsWithChild];
      instance = await boot(database, { providers, transport, worker: { pollInterval: '100ms' } });
      client = instance.get(WorkflowClient);
    });
    afterAll(async () => {
      await instance?.app.close();
      await database?.dispose();
    });

    it('gives its result to its parent, whole', async () => {
      const run = await client.trigger(Parent, { jobs: [{ n: 4 }] });
      expect(await run.result()).toEqual([{ doubled: 8, at: new Date(4) }]);
      const [entry] = await client.journal(run.runId);
      expect(entry).toMatchObject({ key: 'job 4', kind: 'invoke', state: 'journaled' });
    });

    it('that fails is an error of its type, which knows what failed', async () => {
      const run = await client.trigger(Parent, {
        jobs: [{ n: 1, how: 'fails' }, { n: 2, how: 'declined' }, { n: 3 }],
      });
      expect(await run.result()).toEqual([
        expect.objectContaining({
          name: 'ChildFailedError',
          child: true,
          declined: false,
          message: 'child 1 failed',
        }),
        expect.objectContaining({ child: true, declined: true }),
        { doubled: 6, at: new Date(3) },
      ]);
    });

    it('that fails fails its parent at once, not after retries of the parent', async () => {
      const run = await client.trigger(FailsWithChild, { n: 5, how: 'declined' });
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
      expect((await run.get()).attempt).toBe(1);
    });

    it('that is cancelled is told to its parent', async () => {
      const run = await client.trigger(Parent, { jobs: [{ n: 7, how: 'waits' }], runId: `c7 ${transport}` });
      await until(async () => (await client.getWaiters(`go c7 ${transport}`)).length === 1);
      await client.cancel(`c7 ${transport}`);
      expect(await run.result()).toEqual([expect.objectContaining({ cancelled: true })]);
    });

    it('is cancelled with its parent, and its children with it', async () => {
      const run = await client.trigger(Parent, { jobs: [{ n: 8, how: 'waits' }], runId: `c8 ${transport}` });
      await until(async () => (await client.getWaiters(`go c8 ${transport}`)).length === 1);
      await run.cancel();
      await until(async () => (await client.get(`c8 ${transport}`)).status === 'cancelled');
    });

    it('goes on when its parent is cancelled, if it was told to', async () => {
      const run = await client.trigger(Parent, {
        jobs: [{ n: 9, how: 'waits' }],
        runId: `c9 ${transport}`,
        onParentCancel: 'abandon',
      });
      await until(async () => (await client.getWaiters(`go c9 ${transport}`)).length === 1);
      await run.cancel();
      // a later parent whose child is cancelled: the pass that cancels has been there
      const other = await client.trigger(Parent, {
        jobs: [{ n: 10, how: 'waits' }],
        runId: `c10 ${transport}`,
      });
      await until(async () => (await client.getWaiters(`go c10 ${transport}`)).length === 1);
      await other.cancel();
      await until(async () => (await client.get(`c10 ${transport}`)).status === 'cancelled');
      await client.notify(`go c9 ${transport}`, 1);
      expect(await client.run(Child, `c9 ${transport}`).result()).toMatchObject({ doubled: 18 });
    });

    it('with a run id that exists is refused, and the parent learns why', async () => {
      await client.trigger(Child, { n: 1 }, { runId: `taken ${transport}` });
      const run = await client.trigger(Parent, { jobs: [{ n: 1 }], runId: `taken ${transport}` });
      expect(await run.result()).toEqual([
        expect.objectContaining({
          name: 'StepFailedError',
          message: expect.stringContaining('exists already'),
        }),
      ]);
    });

    it('may have children of its own, but not without end', async () => {
      expect(await (await client.trigger(Nested, 5)).result()).toBe(5);
      const error: unknown = await (await client.trigger(Nested, 40)).result().catch((e: unknown) => e);
      expect(WorkflowError.is(error, 'WF_RUN_FAILED')).toBe(true);
      let innermost = error as Error;
      while (innermost.cause) innermost = innermost.cause as Error;
      expect(innermost).toMatchObject({ code: 'WF_INVOKE_DEPTH' });
    });

    it('200 of them at once, each answered once', async () => {
      const jobs = Array.from({ length: 200 }, (_, n) => ({
        n,
        ...(n % 7 === 0 && { how: 'fails' as const }),
      }));
      const run = await client.trigger(Parent, { jobs });
      const result = (await run.result()) as { doubled?: number; message?: string }[];
      expect(result.map((one, n) => one.doubled ?? one.message === `child ${n} failed`)).toEqual(
        jobs.map(({ n }) => (n % 7 === 0 ? true : n * 2)),
      );
      const rows = await instance.rows<{ count: string }>('select count(*) from workflow_message');
      expect(Number(rows[0]!.count)).toBe(0);
      const owed = () => instance.rows('select id from workflow_run where unreported or uncascaded');
      await until(async () => (await owed()).length === 0, owed);
    });
  });
});
