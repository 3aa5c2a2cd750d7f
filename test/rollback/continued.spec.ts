import { Workflow, WorkflowClient, WorkflowContext, type Webhook } from 'nestjs-workflow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boot, Executions, Gates, until, type Instance } from '../races/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

const executions = new Executions();

interface Round {
  how: 'quick' | 'kept' | 'open' | 'children' | 'webhook' | 'waits' | 'undoes';
  round: number;
  seen: string[];
}

@Workflow({ name: 'waiting part', retries: 0 })
class WaitingPart {
  async run(ctx: WorkflowContext<number>): Promise<number> {
    await ctx.waitForEvent('go', `go ${ctx.runId}`);
    return ctx.payload;
  }
}

@Workflow({ name: 'rounds', retries: 0 })
class Rounds {
  async run(ctx: WorkflowContext<Round>): Promise<unknown> {
    const { how, round, seen } = ctx.payload;
    const next = (...more: string[]) =>
      ctx.continueAsNew({ how, round: round + 1, seen: [...seen, ...more] });
    switch (how) {
      case 'quick':
        return round === 200 ? round : next();
      case 'kept': {
        const { timedOut, data } = await ctx.waitForEvent<string>('job', `job ${ctx.runId}`, {
          timeout: '300ms',
        });
        return timedOut ? seen : next(data);
      }
      case 'open': {
        if (round === 1) return ctx.run('last', () => seen.length);
        void ctx.run('never ends', () => new Promise(() => {}));
        void ctx.sleep('long', '1h');
        void ctx.waitForEvent('nothing', `nothing ${ctx.runId}`);
        await ctx.run('short', () => 1);
        return next('short');
      }
      case 'children': {
        if (round === 2) return round;
        void ctx.invoke('part', WaitingPart, round, { onParentCancel: 'cancel', labels: [ctx.runId] });
        await ctx.run('one', () => executions.add());
        return next();
      }
      case 'webhook': {
        const hook: Webhook = await ctx.createWebhook('hook');
        if (round === 1) {
          await ctx.waitForEvent('end', `end ${ctx.runId}`);
          return hook.url === seen[0];
        }
        return next(hook.url);
      }
      case 'undoes': {
        ctx.onRollback('undo', () => executions.add());
        await ctx.run('one', () => executions.add());
        if (round === 0) return next();
        await ctx.waitForEvent('end', `end ${ctx.runId}`);
        return round;
      }
      case 'waits': {
        if (round === 30) return round;
        await ctx.waitForEvent('turn', `turn ${ctx.runId}`);
        return next();
      }
    }
  }
}

describe.each(DATABASES)('going on as new, on $name', ({ name, create }) => {
  describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
    let database: TestDatabase;
    let instance: Instance;
    let client: WorkflowClient;
    const gates = new Gates();
    let runs = 0;
    const start = (how: Round['how'], id = `${name} ${transport} rounds ${++runs}`) =>
      client.trigger(Rounds, { how, round: 0, seen: [] }, { runId: id });
    beforeAll(async () => {
      database = await create();
      instance = await boot(database, {
        providers: [Rounds, WaitingPart],
        transport,
        probe: gates,
        http: { publicUrl: 'https://example.org', signingKey: 'k'.repeat(32) },
      });
      client = instance.get(WorkflowClient);
    });
    afterAll(async () => {
      await instance?.app.close();
      await database?.dispose();
    });
    const left = (runId: string) =>
      instance.rows(`select k.id from workflow_task k join workflow_run r on r.id = k.execution where r.run_id = '${runId}'
        union all select k.execution from workflow_message k join workflow_run r on r.id = k.execution where r.run_id = '${runId}'`);

    it('200 rounds in one go', async () => {
      const run = await start('quick');
      expect(await run.result({ timeout: '30s' })).toBe(200);
      const rows = await instance.rows<{ status: string }>(
        `select status from workflow_run where run_id = '${run.runId}' order by id`,
      );
      expect(rows.map(({ status }) => status)).toEqual([
        ...Array.from({ length: 200 }, () => 'continued'),
        'completed',
      ]);
      expect(await left(run.runId)).toEqual([]);
    });

    it('is given each kept event once, over all its executions', async () => {
      const runId = `${name} ${transport} kept`;
      for (const job of ['a', 'b', 'c']) await client.notify(`job ${runId}`, job, { keepFor: '1h' });
      const run = await start('kept', runId);
      expect(await run.result({ timeout: '10s' })).toEqual(['a', 'b', 'c']);
      expect(await left(runId)).toEqual([]);
    });

    it('leaves open steps, sleeps and waits behind', async () => {
      const run = await start('open');
      expect(await run.result({ timeout: '10s' })).toBe(1);
      expect(await left(run.runId)).toEqual([]);
      expect(await client.getWaiters(`nothing ${run.runId}`)).toEqual([]);
    });

    it('leaves its children to themselves; each execution has its own', async () => {
      const run = await start('children');
      expect(await run.result({ timeout: '10s' })).toBe(2);
      const parts = async () =>
        (await client.list({ label: run.runId, workflow: WaitingPart })).runs as {
          runId: string;
          payload: number;
        }[];
      expect((await parts()).map(({ payload }) => payload).toSorted((a, b) => a - b)).toEqual([0, 1]);
      for (const { runId } of await parts()) {
        await until(async () => (await client.getWaiters(`go ${runId}`)).length === 1);
        await client.notify(`go ${runId}`, 1);
        await client.run(WaitingPart, runId).result({ timeout: '10s' });
      }
      await until(
        async () =>
          (await instance.rows('select 1 from workflow_run where unreported or uncascaded')).length === 0,
      );
      expect(await left(run.runId)).toEqual([]);
    });

    it('leaves its webhooks behind: their URLs are answered with 404', async () => {
      const run = await start('webhook');
      await until(async () => (await client.getWaiters(`end ${run.runId}`)).length === 1);
      const { seen } = (await run.get()).payload;
      const { pathname } = new URL(seen[0]!);
      const answer = await fetch(`${await instance.url}${pathname}`, { method: 'POST', body: '{}' });
      expect(answer.status).toBe(404);
      await client.notify(`end ${run.runId}`, 1);
      expect(await run.result()).toBe(false);
    });

    it('takes no compensation along', async () => {
      const run = await start('undoes');
      await until(async () => (await client.getWaiters(`end ${run.runId}`)).length === 1);
      await run.cancel();
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(executions.of(run.runId)).toEqual(['one', 'one', 'rollback/undo']);
    });

    it('at any moment it is found, read and notified as one run', async () => {
      const run = await start('waits');
      const result = run.result({ timeout: '40s' });
      let ended = false;
      void result.finally(() => (ended = true)).catch(() => {});
      let sent = 0;
      while (!ended) {
        const [{ payload, status }, journal] = await Promise.all([
          run.get(),
          client.journal(run.runId),
          client.getWaiters(`turn ${run.runId}`),
        ]);
        expect(status).not.toBe('continued');
        expect(journal.length).toBeLessThan(2);
        if (payload.round >= sent && !ended) {
          await run.notify(`turn ${run.runId}`, sent);
          sent++;
        }
      }
      expect(await result).toBe(30);
      expect(sent).toBeGreaterThanOrEqual(30);
      // an event that meets the end itself goes with the next round (test/races/late-events.spec.ts)
      await until(
        async () => (await left(run.runId)).length === 0,
        () => left(run.runId),
      );
    });
  });
});
