import { Injectable } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  ChildFailedError,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowScheduler,
} from 'nestjs-workflow';
import { Clock, RunStore } from '../../lib/ports/index.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { boot, Executions, Gates, until, type BootOptions, type Instance } from './support.js';

type Job = 'quick' | 'held' | 'waits' | 'fails' | 'moves';

/** What children do. `held` ends when the test says so. */
@Injectable()
class Work {
  readonly executions = new Executions();
  /** what `run` of parents was told, also in activations that came to nothing */
  readonly told: unknown[] = [];
  readonly #ends: (() => void)[] = [];
  #count = 0;

  @Step() async count(): Promise<number> {
    this.executions.add();
    return ++this.#count;
  }
  @Step() async held(): Promise<string> {
    this.executions.add();
    await new Promise<void>((resolve) => this.#ends.push(resolve));
    return 'held';
  }
  @Step() async after(): Promise<void> {
    this.executions.add();
  }

  get begun(): number {
    return this.#ends.length;
  }
  end(): void {
    for (const end of this.#ends.splice(0)) end();
  }
}

@Workflow({ name: 'local child', retries: 0 })
class Child {
  constructor(readonly work: Work) {}

  async run(ctx: WorkflowContext<Job>): Promise<unknown> {
    switch (ctx.payload) {
      case 'held':
        return this.work.held();
      case 'waits':
        return (await ctx.waitForEvent('go', `go ${ctx.runId}`)).data;
      case 'fails':
        await this.work.count();
        throw new Error('no');
      case 'moves':
        return ctx.continueAsNew('quick');
      default:
        return this.work.count();
    }
  }
}

@Workflow({ name: 'local parent', retries: 0 })
class Parent {
  constructor(readonly work: Work) {}

  async run(ctx: WorkflowContext<{ jobs: Job[]; then?: 'wait' }>): Promise<unknown> {
    const { work } = this;
    const answers = await Promise.all(
      ctx.payload.jobs.map((job, i) =>
        ctx.invoke(`child ${i}`, Child, job, { runId: `${ctx.runId} ${i}` }).then(
          (answer) => {
            work.told.push(answer);
            return answer;
          },
          (error: unknown) => {
            work.told.push(error);
            return `${(error as ChildFailedError).runId}: ${(error as Error).message}`;
          },
        ),
      ),
    );
    await work.after();
    if (ctx.payload.then) await ctx.waitForEvent('on', `on ${ctx.runId}`);
    return answers;
  }
}

vi.setConfig({ testTimeout: 60_000 });

describe.each(DATABASES)('a parent beside its children, on $name', ({ create }) => {
  let database: TestDatabase;
  let gates: Gates;
  const open: Instance[] = [];
  beforeEach(async () => {
    database = await create();
    gates = new Gates();
  });
  afterEach(async () => {
    for (const instance of open) instance.get(Work).end();
    await Promise.all(open.splice(0).map((instance) => instance.app.close()));
    await database.dispose();
  });

  async function start(options: Partial<BootOptions> = {}): Promise<Instance> {
    const providers = [Work, Child, Parent];
    const instance = await boot(database, { transport: 'in-process', probe: gates, providers, ...options });
    open.push(instance);
    return instance;
  }
  const trigger = (at: Instance, jobs: Job[], then?: 'wait') =>
    at.get(WorkflowClient).trigger(Parent, { jobs, ...(then && { then }) }, { runId: 'p' });
  const of = (runId: string) => gates.seen.filter(({ detail }) => detail.runId === runId);
  const points = (runId: string): string[] => of(runId).map(({ point }) => point);
  const statusOf = async (at: Instance, runId: string): Promise<string> =>
    (await at.rows<{ status: string }>(`select status from workflow_run where run_id = '${runId}'`))[0]!
      .status;
  const journaled = (at: Instance) => at.rows(`select key from workflow_step where state = 'journaled'`);
  const owed = (at: Instance) =>
    at.rows(`select 'mark' from workflow_run where unreported union all select 'message' from workflow_message
             union all select 'task' from workflow_task`);
  const nothingIsOwed = (at: Instance) =>
    until(
      async () => (await owed(at)).length === 0,
      () => owed(at),
    );
  /** Timers of the patience of a parent stand still. */
  const patient = (at: Instance): void => {
    const clock = at.get(Clock as never) as Clock;
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) => (ms > 30 && ms <= 50 ? () => {} : after(ms, callback));
  };

  it('is told the end before that is durable, and nothing of it is sent before it is', async () => {
    const at = await start();
    patient(at);
    const work = at.get(Work);
    const gate = gates.hold('flush-sent', ({ runId }) => runId === 'p 0');
    const run = await trigger(at, ['quick']);
    await gate.reached;
    await until(() => work.told.length === 1, 'the answer');
    expect(await statusOf(at, 'p 0')).toBe('active');
    expect(await journaled(at)).toEqual([]);
    expect(points('p')).not.toContain('flush-sent');
    expect(work.executions.of('p')).toEqual([]);
    gate.open();
    expect(await run.result()).toEqual([1]);
    expect(work.told).toEqual([1]);
    expect(points('p')).not.toContain('suspended');
    expect(work.executions.repeated).toEqual([]);
    await nothingIsOwed(at);
    expect(at.get(WorkflowScheduler).active).toBe(0);
  });

  it('forgets an end that was not stored, and what came of it', async () => {
    const at = await start();
    const work = at.get(Work);
    const gate = gates.hold('flush-sent', ({ runId }) => runId === 'p 0');
    const run = await trigger(at, ['quick']);
    await gate.reached;
    await until(() => work.told.length === 1, 'the answer');
    // as after a heartbeat that was missed: somebody else has the child now
    await at.rows(
      `update workflow_task set fence = fence + 1, lease_owner = null where execution = (select id from workflow_run where run_id = 'p 0')`,
    );
    gate.open();
    expect(await run.result()).toEqual([2]);
    expect(work.told[0]).toBe(1);
    expect(work.told.at(-1)).toBe(2);
    expect(work.executions.of('p')).toEqual(['Work.after']);
    await nothingIsOwed(at);
  });

  it('starts over when the end of its child could not be sent', async () => {
    const at = await start();
    const work = at.get(Work);
    const gate = gates.hold('flush-sent', ({ runId }) => runId === 'p 0');
    const run = await trigger(at, ['quick']);
    await gate.reached;
    const lost = at.loseReplies((name) => name.startsWith('workflow_commit'), 1);
    gate.open();
    expect(await run.result()).toEqual([1]);
    expect(lost.count).toBe(1);
    lost.stop();
    expect(work.executions.repeated).toEqual([]);
    await nothingIsOwed(at);
  });

  it('leaves a message aside that somebody else has sent meanwhile', async () => {
    const at = await start();
    const run = await trigger(at, ['quick'], 'wait');
    const gate = gates.hold('flush-sent', ({ runId }) => runId === 'p');
    await gate.reached;
    expect(await statusOf(at, 'p 0')).toBe('completed');
    const store = at.get(RunStore as never) as RunStore;
    expect(await store.report(null)).toMatchObject({ reported: 1 });
    gate.open();
    await until(async () => (await at.get(WorkflowClient).getWaiters('on p')).length === 1);
    await until(async () => (await at.rows('select 1 from workflow_message')).length === 0, 'an empty inbox');
    await run.notify('on p', 1);
    expect(await run.result()).toEqual([1]);
    expect(at.get(Work).told.every((one) => one === 1)).toBe(true);
    expect(at.get(Work).executions.repeated).toEqual([]);
    await nothingIsOwed(at);
  });

  it('suspends at once where a child waits, goes on as new, or is cancelled', async () => {
    const at = await start();
    patient(at);
    const client = at.get(WorkflowClient);
    const run = await trigger(at, ['waits', 'moves', 'held']);
    await until(() => at.get(Work).begun === 1);
    await client.run(Child, 'p 2').cancel();
    await until(() => points('p').includes('suspended'), 'the suspension');
    await client.notify('go p 0', 'gone');
    expect(await run.result()).toEqual(['gone', 1, expect.stringContaining('p 2: ')]);
    await nothingIsOwed(at);
  });

  it('suspends when a child takes its time, and is woken by its end', async () => {
    const at = await start();
    const run = await trigger(at, ['held']);
    await until(() => points('p').includes('suspended'), 'the suspension');
    expect(at.get(Work).begun).toBe(1);
    expect(
      await at.rows(
        `select lease_owner from workflow_task k join workflow_run r on r.id = k.execution where r.run_id = 'p'`,
      ),
    ).toEqual([{ lease_owner: null }]);
    at.get(Work).end();
    expect(await run.result()).toEqual(['held']);
    await nothingIsOwed(at);
    expect(at.get(WorkflowScheduler).active).toBe(0);
  });

  it('takes no place while it waits, and does not wait for a child that finds none', async () => {
    const at = await start({ worker: { concurrency: 1, pollInterval: '100ms' } });
    patient(at);
    const run = await trigger(at, ['quick', 'quick', 'quick']);
    expect(await run.result()).toHaveLength(3);
    const two = await at.get(WorkflowClient).trigger(Parent, { jobs: ['held'] }, { runId: 'q' });
    await until(() => at.get(Work).begun === 1);
    at.get(Work).end();
    expect(await two.result()).toEqual(['held']);
    await nothingIsOwed(at);
  });

  it('hears of a failure as by a message', async () => {
    const at = await start();
    const here = (await (await trigger(at, ['fails'])).result()) as string[];
    expect(points('p')).not.toContain('suspended');
    const error = at.get(Work).told[0];
    expect(error).toBeInstanceOf(ChildFailedError);
    expect(error).toMatchObject({ runId: 'p 0', failure: { message: 'no' } });
    expect(here).toEqual([expect.stringContaining('p 0: ')]);
    await nothingIsOwed(at);
  });

  it('of a hundred is told all, without a message', async () => {
    const at = await start({ worker: { concurrency: 200 } });
    const run = await trigger(
      at,
      Array.from({ length: 100 }, () => 'quick' as const),
    );
    expect(new Set((await run.result()) as number[]).size).toBe(100);
    expect(at.get(Work).executions.repeated).toEqual([]);
    await nothingIsOwed(at);
    expect(at.get(WorkflowScheduler).active).toBe(0);
  });

  it('that is cancelled while it waits ends as cancelled, and its child too', async () => {
    const at = await start();
    patient(at);
    const run = await trigger(at, ['held']);
    await until(() => at.get(Work).begun === 1);
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
    await until(async () => (await statusOf(at, 'p 0')) === 'cancelled');
    await nothingIsOwed(at);
    await until(() => at.get(WorkflowScheduler).active === 0);
  });
});
