import { Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boot, until, type Instance } from '../races/support.js';
import { isCommit, nextsOf } from '../support/binary-array.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

interface Round {
  round: number;
  seen: string[];
}

@Workflow({ name: 'loop', retries: 0, timeout: '1h' })
class Loop {
  async run(ctx: WorkflowContext<Round>): Promise<string[]> {
    const { round, seen } = ctx.payload;
    await ctx.run('count', () => round);
    if (round === 5) return seen;
    const { data } = await ctx.waitForEvent<string>('next', `next ${ctx.runId}`);
    return ctx.continueAsNew({ round: round + 1, seen: [...seen, data] });
  }
}

@Workflow({ name: 'parent of a loop', retries: 0 })
class ParentOfLoop {
  async run(ctx: WorkflowContext<string>): Promise<string[]> {
    return ctx.invoke('loop', Loop, { round: 0, seen: [] }, { runId: ctx.payload, labels: ['looping'] });
  }
}

@Workflow({ name: 'bad', retries: 0 })
class Bad {
  async run(ctx: WorkflowContext): Promise<void> {
    await ctx.continueAsNew(() => 1);
  }
}

describe.each(DATABASES)('a run that goes on as new, on $name', ({ create }) => {
  describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
    let database: TestDatabase;
    let instance: Instance;
    let client: WorkflowClient;
    beforeAll(async () => {
      database = await create();
      instance = await boot(database, { providers: [Loop, ParentOfLoop, Bad], transport });
      client = instance.get(WorkflowClient);
    });
    afterAll(async () => {
      await instance?.app.close();
      await database?.dispose();
    });

    it('keeps its id, and events that came early go along in their order', async () => {
      const runId = `l ${transport}`;
      const run = await client.trigger(Loop, { round: 0, seen: [] }, { runId, labels: ['looping'] });
      for (const data of ['a', 'b', 'c', 'd', 'e']) await client.notify(`next ${runId}`, data, { runId });
      expect(await run.result()).toEqual(['a', 'b', 'c', 'd', 'e']);
      const entries = await client.journal(runId);
      expect(entries.map(({ key }) => key)).toEqual(['count']);
      expect((await client.list({ label: 'looping' })).runs.map((one) => one.runId)).toEqual([runId]);
      const statuses = await instance.rows<{ status: string; deadline: boolean }>(
        `select status, deadline_at > created_at as deadline from workflow_run where run_id = '${runId}' order by id`,
      );
      expect(statuses.map(({ status }) => status)).toEqual([
        ...Array.from({ length: 5 }, () => 'continued'),
        'completed',
      ]);
      expect(statuses.every(({ deadline }) => deadline)).toBe(true);
      expect(await instance.rows('select * from workflow_message')).toEqual([]);
    });

    it('is the child of its parent to the end', async () => {
      const runId = `c ${transport}`;
      const run = await client.trigger(ParentOfLoop, runId);
      await until(async () => (await client.getWaiters(`next ${runId}`)).length === 1);
      for (const data of ['1', '2', '3', '4', '5']) await client.notify(`next ${runId}`, data, { runId });
      expect(await run.result()).toEqual(['1', '2', '3', '4', '5']);
    });

    it('is cancelled with its parent in any of its executions', async () => {
      const runId = `x ${transport}`;
      const run = await client.trigger(ParentOfLoop, runId);
      await until(async () => (await client.getWaiters(`next ${runId}`)).length === 1);
      await client.notify(`next ${runId}`, '1', { runId });
      await until(async () => (await client.run(Loop, runId).get()).payload.round === 1);
      await run.cancel();
      await expect(client.run(Loop, runId).result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
    });

    it('with a payload that cannot be stored fails, and says why', async () => {
      const run = await client.trigger(Bad);
      await expect(run.result()).rejects.toMatchObject({ failure: { code: 'WF_NOT_SERIALIZABLE' } });
    });

    it('whose last commit is repeated goes on once', async () => {
      const runId = `r ${transport}`;
      const lost = instance.loseReplies(
        (name, values) => isCommit(name) && nextsOf(values).includes('continued'),
      );
      const run = await client.trigger(Loop, { round: 3, seen: [] }, { runId });
      for (const data of ['a', 'b']) await client.notify(`next ${runId}`, data, { runId });
      expect(await run.result()).toEqual(['a', 'b']);
      lost.stop();
      expect(lost.count).toBe(1);
      expect(await instance.rows(`select 1 from workflow_run where run_id = '${runId}'`)).toHaveLength(3);
    });
  });
});
