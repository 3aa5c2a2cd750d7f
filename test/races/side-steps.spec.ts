import { Injectable } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  currentStep,
  defineEvent,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowScheduler,
} from 'nestjs-workflow';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { boot, Executions, type BootOptions, type Instance, until } from './support.js';

const Told = defineEvent<string>('told');

/** Steps that end when the test says so. */
@Injectable()
class Steps {
  readonly executions = new Executions();
  readonly signals = new Map<string, AbortSignal>();
  readonly #ends = new Map<string, () => void>();

  @Step({ key: (name: string) => name }) async held(name: string): Promise<string> {
    this.executions.add();
    this.signals.set(name, currentStep().signal);
    await new Promise<void>((resolve) => this.#ends.set(name, resolve));
    return name;
  }
  @Step({ key: (name: string) => name }) async quick(name: string): Promise<string> {
    this.executions.add();
    return name;
  }
  @Step({ retries: 1, backoff: { initial: '1ms', jitter: false } }) async flaky(): Promise<string> {
    this.executions.add();
    if (currentStep().attempt === 1) throw new Error('once');
    return `at ${currentStep().attempt}`;
  }

  /** Lets it end; waits until it has begun. */
  async end(name: string): Promise<void> {
    await this.begun(name);
    this.#ends.get(name)!();
    this.#ends.delete(name);
  }
  async begun(name: string): Promise<void> {
    await until(() => this.#ends.has(name), `the begin of ${name}`);
  }
  endAll(): void {
    for (const end of this.#ends.values()) end();
    this.#ends.clear();
  }
}

type Kind = 'wait' | 'retry' | 'then' | 'race' | 'fails' | 'deadline' | 'many' | 'late';

@Workflow({ name: 'fans', retries: 0 })
class Fans {
  constructor(readonly steps: Steps) {}

  async run(ctx: WorkflowContext<Kind>): Promise<unknown> {
    const { steps } = this;
    switch (ctx.payload) {
      case 'wait': {
        const waits = async (): Promise<string> => {
          await steps.quick('before');
          const { data } = await ctx.waitForEvent('told', Told(ctx.runId));
          return steps.quick(data);
        };
        return Promise.all([steps.held('long'), waits()]);
      }
      case 'retry':
        return Promise.all([steps.held('long'), steps.flaky().then((at) => steps.quick(at))]);
      case 'then':
        return Promise.all(['a', 'b'].map(async (n) => [await steps.held(n), await steps.quick(`${n}2`)]));
      case 'race':
        return Promise.race([steps.held('slow'), steps.held('fast')]);
      case 'fails':
        return Promise.all([
          steps.held('slow'),
          steps.held('fast').then(() => Promise.reject(new Error('no'))),
        ]);
      case 'many':
        return Promise.all(Array.from({ length: 5 }, (_, i) => steps.held(`m${i}`)));
      case 'late': {
        const late = async (): Promise<string> => {
          // not durable: nothing but `run` itself knows of it
          await steps.begun('long');
          return steps.quick('late');
        };
        return Promise.all([steps.held('long'), steps.held('other'), late()]);
      }
      case 'deadline':
        return Promise.all([steps.held('x'), steps.held('y')]);
    }
  }
}

// long enough for its steps to begin on a machine that is busy
@Workflow({ name: 'short', timeout: '2s', retries: 0 })
class Short extends Fans {}

vi.setConfig({ testTimeout: 60_000 });

describe.each(DATABASES)('steps beside each other in-process, on $name', ({ name, create }) => {
  let database: TestDatabase;
  const open: Instance[] = [];
  beforeEach(async () => {
    database = await create();
  });
  afterEach(async () => {
    for (const instance of open) instance.get(Steps).endAll();
    await Promise.all(open.splice(0).map((instance) => instance.app.close()));
    await database.dispose();
  });

  async function start(options: Partial<BootOptions> = {}): Promise<Instance> {
    const instance = await boot(database, {
      transport: 'in-process',
      providers: [Steps, Fans, Short],
      ...options,
    });
    open.push(instance);
    return instance;
  }
  const trigger = (at: Instance, kind: Kind) => at.get(WorkflowClient).trigger(Fans, kind);
  const tasks = (at: Instance): Promise<{ step_key: string; lease_owner: string | null }[]> =>
    at.rows('select step_key, lease_owner from workflow_task order by step_key');
  const executed = (at: Instance, runId: string): string[] =>
    at
      .get(Steps)
      .executions.of(runId)
      .map((one) => one.replace(/^Steps\.(held|quick):?/, ''));

  it('are no tasks; each goes on by itself, and what has ended is durable while others execute', async () => {
    const a = await start();
    const steps = a.get(Steps);
    const run = await trigger(a, 'then');
    await steps.begun('b');
    expect(await tasks(a)).toEqual([{ step_key: '', lease_owner: a.leases.worker }]);
    await steps.end('a');
    const journal = async (): Promise<string[]> =>
      (await a.get(WorkflowClient).journal(run.runId)).map(({ key, state }) => `${key} ${state}`);
    await until(async () => (await journal()).length === 2, journal);
    expect(await journal()).toEqual(['Steps.held:a journaled', 'Steps.quick:a2 journaled']);
    await steps.end('b');
    expect(await run.result()).toEqual([
      ['a', 'a2'],
      ['b', 'b2'],
    ]);
    expect(executed(a, run.runId)).toEqual(['a', 'b', 'a2', 'b2']);
  });

  it('become tasks when a wait stands beside them: the wait goes on while they execute, and they are executed once', async () => {
    const a = await start();
    const steps = a.get(Steps);
    const run = await trigger(a, 'wait');
    const waiting = [
      { step_key: '', lease_owner: null },
      { step_key: 'Steps.held:long', lease_owner: a.leases.worker },
    ];
    await until(
      async () => JSON.stringify(await tasks(a)) === JSON.stringify(waiting),
      () => tasks(a),
    );
    await run.notify(Told(run.runId), 'after');
    await until(() => executed(a, run.runId).includes('after'), 'the step after the wait');
    expect(steps.signals.get('long')!.aborted).toBe(false);
    await steps.end('long');
    expect(await run.result()).toEqual(['long', 'after']);
    expect(executed(a, run.runId)).toEqual(['long', 'before', 'after']);
    expect(await tasks(a)).toEqual([]);
    // no place is lost on the way
    await until(() => a.get(WorkflowScheduler).active === 0);
  });

  it('become tasks when one of them is tried again: that one has its next attempt while the others execute', async () => {
    const a = await start();
    const run = await trigger(a, 'retry');
    await until(() => executed(a, run.runId).includes('at 2'), 'the step after the second attempt');
    await a.get(Steps).end('long');
    expect(await run.result()).toEqual(['long', 'at 2']);
    expect(executed(a, run.runId)).toEqual(['long', 'Steps.flaky', 'Steps.flaky', 'at 2']);
    await until(() => a.get(WorkflowScheduler).active === 0);
  });

  it.each([
    ['race', 'fast', undefined],
    ['fails', undefined, 'no'],
  ] as const)(
    'do not hold up a run that ends without them (%s): their signals fire',
    async (kind, result, message) => {
      const a = await start();
      const steps = a.get(Steps);
      const run = await a.get(WorkflowClient).trigger(Fans, kind);
      await steps.begun('slow');
      await steps.end('fast');
      const end = await run.result().catch((error: Error) => error);
      if (message) expect(end).toMatchObject({ message: expect.stringContaining(message) });
      else expect(end).toBe(result);
      const { aborted, reason } = steps.signals.get('slow')!;
      expect([aborted, (reason as Error).message]).toEqual([true, 'The run goes on without this step']);
      expect(executed(a, run.runId)).toEqual(['slow', 'fast']);
      await until(() => a.get(WorkflowScheduler).active === 0);
    },
  );

  it('do not hold up the time limit of their run', async () => {
    const a = await start();
    const run = await a.get(WorkflowClient).trigger(Short, 'deadline');
    expect(await run.result().catch((error: Error) => error)).toMatchObject({
      cause: expect.objectContaining({ code: 'WF_RUN_TIMEOUT' }),
    });
    expect(a.get(Steps).signals.get('y')!.aborted).toBe(true);
  });

  it('what the code asks for on its own while they execute is begun at once', async () => {
    const a = await start();
    const run = await trigger(a, 'late');
    await until(() => executed(a, run.runId).includes('late'), 'the late step');
    for (const name of ['long', 'other']) await a.get(Steps).end(name);
    expect(await run.result()).toEqual(['long', 'other', 'late']);
  });

  it('find places elsewhere when there are too few here', async () => {
    const patient = { heartbeat: '100ms', leaseTimeout: '60s' } as const;
    const a = await start({ worker: { ...patient, concurrency: 2 } });
    const run = await trigger(a, 'many');
    await until(() => executed(a, run.runId).length === 2, 'the two that have places');
    expect(a.get(WorkflowScheduler).active).toBe(2);
    const unowned = async (): Promise<number> => {
      const all = await tasks(a);
      return all.filter((one) => one.step_key !== '' && one.lease_owner === null).length;
    };
    await until(
      async () => (await unowned()) === 3,
      () => tasks(a),
    );
    // embedded PGlite is this process' own
    const b = name === 'pglite' ? a : await start({ worker: patient });
    for (const i of [0, 1]) await a.get(Steps).end(`m${i}`);
    for (const i of [2, 3, 4]) {
      const at = await Promise.any(
        [...new Set([a, b])].map(async (one) => {
          await one.get(Steps).begun(`m${i}`);
          return one;
        }),
      );
      await at.get(Steps).end(`m${i}`);
    }
    expect(await run.result()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
    const all = [...new Set([a, b])].flatMap((one) => executed(one, run.runId));
    expect(all.toSorted()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
  });

  it.each(['workflow_commit', 'workflow_leased_steps', 'workflow_answer'])(
    'left executing beside a wait, are executed once although the reply to %s is lost',
    async (statement) => {
      const a = await start();
      const lost = a.loseReplies((sent) => sent === statement);
      const run = await trigger(a, 'wait');
      await until(
        async () => (await tasks(a)).length === 2,
        () => tasks(a),
      );
      await run.notify(Told(run.runId), 'after');
      await a.get(Steps).end('long');
      expect(await run.result()).toEqual(['long', 'after']);
      expect(lost.count).toBe(1);
      expect(executed(a, run.runId).toSorted()).toEqual(['after', 'before', 'long']);
    },
  );

  // embedded PGlite ends with its process
  it.skipIf(name === 'pglite')(
    'are waited for by a shutdown, also when they were left executing',
    async () => {
      const a = await start();
      const steps = a.get(Steps);
      const run = await trigger(a, 'wait');
      await until(async () => (await tasks(a)).length === 2);
      const closed = a.app.close();
      await until(() => !a.get(WorkflowScheduler).running);
      await steps.end('long');
      await closed;
      open.splice(0);
      const b = await start();
      await b.get(WorkflowClient).run(Fans, run.runId).notify(Told(run.runId), 'after');
      expect(await b.get(WorkflowClient).run(Fans, run.runId).result()).toEqual(['long', 'after']);
      expect(executed(b, run.runId)).toEqual(['after']);
    },
  );

  it.skipIf(name === 'pglite')(
    'left executing in a process that is presumed dead, are executed by another, and answered once',
    async () => {
      const a = await start();
      const run = await trigger(a, 'wait');
      await until(async () => (await tasks(a)).length === 2);
      const revive = a.stopHeart();
      a.get(WorkflowScheduler).stop();
      const b = await start();
      await b.get(Steps).begun('long');
      await a.get(Steps).end('long');
      await run.notify(Told(run.runId), 'after');
      const row = `select state from workflow_step where key = 'Steps.held:long'`;
      expect(await b.rows(row)).toEqual([{ state: 'pending' }]);
      await b.get(Steps).end('long');
      expect(await b.get(WorkflowClient).run(Fans, run.runId).result()).toEqual(['long', 'after']);
      expect(executed(b, run.runId)).toContain('long');
      revive();
    },
  );
});
