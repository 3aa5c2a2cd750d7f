import {
  FailureContext,
  NonRetryableError,
  OnFailure,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowError,
} from 'nestjs-workflow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boot, Executions, Gates, until, type Instance } from '../races/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

const executions = new Executions();
const note = (): void => executions.add();

@Workflow({ name: 'small part', retries: 0 })
class Part {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    if (ctx.payload === 'waits') await ctx.waitForEvent('go', `go ${ctx.runId}`);
    return ctx.run('one', () => {
      note();
      return `${ctx.payload} done`;
    });
  }
}

@Workflow({ name: 'single part', retries: 0, singleton: { key: () => 'the only one', policy: 'skip' } })
class Single {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    await ctx.waitForEvent('go', `go ${ctx.runId}`);
    return 'done';
  }
}

const anything: any = undefined;
const BAD: Record<string, (ctx: WorkflowContext<string>) => Promise<unknown>> = {
  'an unknown class': (ctx) => ctx.invoke('x', class Nobody {} as any, anything),
  'no class': (ctx) => ctx.invoke('x', anything, anything),
  'a payload that cannot be stored': (ctx) => ctx.invoke('x', Part, (() => 1) as any),
  'labels that are no array': (ctx) => ctx.invoke('x', Part, 'p', { labels: 'a' } as any),
  'an empty label': (ctx) => ctx.invoke('x', Part, 'p', { labels: [''] }),
  'a run id that is no text': (ctx) => ctx.invoke('x', Part, 'p', { runId: 5 } as any),
  'another onParentCancel': (ctx) => ctx.invoke('x', Part, 'p', { onParentCancel: 'maybe' } as any),
  'flow control that is none': (ctx) => ctx.invoke('x', Part, 'p', { flowControl: { key: 5 } } as any),
  'options that are null': (ctx) => ctx.invoke('x', Part, 'p', null as any),
  'options that are text': (ctx) => ctx.invoke('x', Part, 'p', 'abandon' as any),
  'an empty name': (ctx) => ctx.invoke('', Part, 'p'),
  'no name': (ctx) => ctx.invoke(anything, Part, 'p'),
  'an invoke in a step': (ctx) => ctx.run('s', () => ctx.invoke('x', Part, 'p'), { retries: 0 }),
  'an onRollback in a step': (ctx) => ctx.run('s', () => ctx.onRollback('x', () => {}), { retries: 0 }),
  'a continueAsNew in a step': (ctx) => ctx.run('s', () => ctx.continueAsNew('x'), { retries: 0 }),
  'a cancel in a step': (ctx) => ctx.run('s', () => ctx.cancel(), { retries: 0 }),
  'an onRollback without a function': async (ctx) => ctx.onRollback('x', anything),
  'an onRollback without a name': async (ctx) => ctx.onRollback('', () => {}),
  'an onRollback with other options': async (ctx) =>
    ctx.onRollback('x', () => {}, { retries: 'many' } as any),
  'an onRollback whose options are null': async (ctx) =>
    ctx.onRollback('x', () => {}, { timeout: {} } as any),
  'a new payload that cannot be stored': (ctx) => ctx.continueAsNew(Symbol('x') as any),
};

@Workflow({ name: 'family edges', retries: 0 })
class Parent {
  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    switch (ctx.payload) {
      case 'races': {
        const [first] = [
          await Promise.race([
            ctx.invoke('slow', Part, 'waits', { runId: `slow of ${ctx.runId}` }),
            ctx.sleep('nap', '20ms').then(() => 'nap'),
          ]),
        ];
        return [first, await ctx.invoke('other', Part, 'other')];
      }
      case 'sequence': {
        let done = 0;
        for (let i = 0; i < 300; i++) if ((await ctx.invoke('part', Part, `${i}`)) === `${i} done`) done++;
        return done;
      }
      case 'twice': {
        return Promise.all([ctx.invoke('part', Part, 'a'), ctx.invoke('part', Part, 'b')]);
      }
      case 'twice waiting': {
        return Promise.all([ctx.invoke('part', Part, 'waits'), ctx.invoke('part', Part, 'waits')]);
      }
      case 'single': {
        return ctx.invoke('part', Single, 'p', { runId: `single of ${ctx.runId}` });
      }
      case 'fails': {
        throw new NonRetryableError('failed');
      }
      default:
        return BAD[ctx.payload]!(ctx);
    }
  }

  @OnFailure() async failed(ctx: FailureContext<string>): Promise<void> {
    if (ctx.payload === 'fails') await ctx.invoke('mourn', Part, await ctx.invoke('part', Part, 'sorry'));
  }
}

describe.each(DATABASES)('children on $name', ({ name, create }) => {
  describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
    let database: TestDatabase;
    let instance: Instance;
    let client: WorkflowClient;
    const gates = new Gates();
    let runs = 0;
    const start = (how: string) => client.trigger(Parent, how, { runId: `${name} ${transport} ${++runs}` });
    beforeAll(async () => {
      database = await create();
      instance = await boot(database, { providers: [Part, Single, Parent], transport, probe: gates });
      client = instance.get(WorkflowClient);
    });
    afterAll(async () => {
      await instance?.app.close();
      await database?.dispose();
    });
    const children = (runId: string) =>
      instance.rows<{ run_id: string; status: string }>(
        `select c.run_id, c.status from workflow_run c join workflow_run p on p.id = c.parent_id where p.run_id = '${runId}' order by c.id`,
      );
    const left = () =>
      instance.rows(
        `select id from workflow_run where unreported or uncascaded union all select execution from workflow_message`,
      );

    it('that lose a race go on when their parent has ended, and answer nobody', async () => {
      const run = await start('races');
      expect(await run.result({ timeout: '10s' })).toEqual(['nap', 'other done']);
      const [slow] = await children(run.runId);
      expect(slow!.status).toBe('active');
      // nobody keeps the event for it: it started beside the other one, which may have been quicker
      await until(async () => (await client.getWaiters(`go ${slow!.run_id}`)).length === 1);
      await client.notify(`go ${slow!.run_id}`, 1);
      expect(await client.run(Part, slow!.run_id).result({ timeout: '10s' })).toBe('waits done');
      await until(async () => (await left()).length === 0);
    });

    it('one after the other, 300 of them', async () => {
      const run = await start('sequence');
      expect(await run.result({ timeout: '60s' })).toBe(300);
      expect(await children(run.runId)).toHaveLength(300);
    });

    it('under one name are two', async () => {
      expect(await (await start('twice')).result({ timeout: '10s' })).toEqual(['a done', 'b done']);
    });

    it('in an @OnFailure method', async () => {
      const run = await start('fails');
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ failure: { message: 'failed' } });
      expect((await client.journal(run.runId)).map(({ key, state }) => [key, state])).toEqual([
        ['@failure', 'journaled'],
        ['onFailure/part', 'journaled'],
        ['onFailure/mourn', 'journaled'],
      ]);
    });

    it('that end before their parent knows of them', async () => {
      const next = `${name} ${transport} ${runs + 1}`;
      const gate = gates.hold('children-started', ({ runId }) => runId === next);
      const run = await start('twice');
      await gate.reached;
      await until(async () => (await children(run.runId)).every(({ status }) => status === 'completed'));
      gate.open();
      expect(await run.result({ timeout: '10s' })).toEqual(['a done', 'b done']);
    });

    it.each([
      'workflow_trigger',
      'workflow_commit',
      'workflow_commit_lean',
      'workflow_commit_turns',
      'workflow_report_children',
      'workflow_cancel_children',
      'workflow_cascaded',
    ])('answer once when the reply of %s is lost', async (statement) => {
      await until(async () => (await left()).length === 0, left);
      const lost = instance.loseReplies((one) => one === statement, 3);
      const run = await client
        .trigger(Parent, 'twice', { runId: `${name} ${transport} lost ${statement}` })
        .finally(() => undefined);
      expect(await run.result({ timeout: '20s' })).toEqual(['a done', 'b done']);
      const other = await start('races');
      const slow = `slow of ${other.runId}`;
      await until(async () => (await client.getWaiters(`go ${slow}`)).length === 1);
      await other.cancel().catch(() => other.cancel());
      lost.stop();
      await other.result({ timeout: '10s' }).catch(() => {});
      if ((await other.get()).status === 'cancelled')
        await until(async () => (await client.get(slow)).status === 'cancelled');
      await until(async () => (await left()).length === 0);
      expect(await children(run.runId)).toEqual([
        expect.objectContaining({ status: 'completed' }),
        expect.objectContaining({ status: 'completed' }),
      ]);
    });

    it('of a parent that is cancelled while they start are cancelled too', async () => {
      const runId = `${name} ${transport} ${runs + 1}`;
      const gate = gates.hold('children-started', (detail) => detail.runId === runId);
      const run = await start('twice waiting');
      await gate.reached;
      await run.cancel();
      gate.open();
      await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      await until(async () => (await children(runId)).every(({ status }) => status === 'cancelled'));
      expect(await children(runId)).toHaveLength(2);
      await until(async () => (await left()).length === 0);
    });

    it('whose singleton key is held by another run: the parent learns by which', async () => {
      const held = await client.trigger(Single, 'p', { runId: `holder ${transport}` });
      const run = await start('single');
      const error: unknown = await run.result({ timeout: '10s' }).catch((e: unknown) => e);
      expect(WorkflowError.is(error, 'WF_RUN_FAILED')).toBe(true);
      expect(String((error as Error).message)).toContain(`holder ${transport}`);
      await held.cancel();
    });

    it.each(Object.keys(BAD))('are not started by %s', async (how) => {
      const run = await start(how);
      const error: unknown = await run.result({ timeout: '10s' }).catch((e: unknown) => e);
      const codes: unknown[] = [];
      for (let cause = error; cause instanceof Error; cause = cause.cause)
        codes.push((cause as { code?: unknown }).code);
      expect(codes).toContainEqual(expect.stringMatching(/^WF_(INVALID_|NOT_SERIALIZABLE|UNKNOWN)/));
      expect(await children(run.runId)).toEqual([]);
      await until(async () => (await left()).length === 0, left);
    });
  });
});
