import { Injectable, Module, type DynamicModule, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import {
  CallPerformer,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  WorkflowScheduler,
  type CallOutcome,
  type WorkflowModuleOptions,
} from 'nestjs-workflow';
import { Clock, RunIntake, SignalChannel } from '../lib/ports/index.js';
import type { RuntimeConfig } from '../lib/runtime/config.js';
import { ScheduleRunner } from '../lib/runtime/schedules.js';
import { Database } from '../lib/typeorm/database.js';
import { EMBEDDED_DUMP } from '../lib/workflow.persistence.js';
import { RUNTIME_OVERRIDES } from '../lib/workflow.tokens.js';
import { Counter, TickedClock } from './support/counter.js';
import { DATABASES, type TestDatabase } from './support/databases.js';

const STEPS = 10;

@Injectable()
class Work {
  arrived = 0;
  #open: () => void = () => {};
  readonly #all = new Promise<void>((resolve) => (this.#open = resolve));

  @Step() async one(n: number): Promise<number> {
    return n + 1;
  }

  /** Ends when all have begun. */
  @Step() async together(n: number): Promise<number> {
    if (++this.arrived === STEPS) this.#open();
    await this.#all;
    return n;
  }
}

@Workflow({ name: 'in-a-row' })
class InARow {
  constructor(private readonly work: Work) {}
  async run(): Promise<number> {
    let n = 0;
    while (n < STEPS) n = await this.work.one(n);
    return n;
  }
}

@Workflow({ name: 'side-by-side' })
class SideBySide {
  constructor(private readonly work: Work) {}
  async run(_ctx: WorkflowContext<void>): Promise<number> {
    const all = await Promise.all(Array.from({ length: STEPS }, (_, n) => this.work.together(n)));
    return all.length;
  }
}

@Workflow({ name: 'at-once' })
class AtOnce {
  async run(): Promise<number> {
    return 1;
  }
}

@Workflow({ name: 'calls' })
class Calls {
  async run(ctx: WorkflowContext<void>): Promise<number> {
    const request = { url: 'https://api.example/', method: 'POST', body: { n: 1 } };
    const all = await Promise.all(Array.from({ length: STEPS }, (_, n) => ctx.call(`call ${n}`, request)));
    return all.length;
  }
}

@Workflow({ name: 'waits' })
class Waits {
  async run(ctx: WorkflowContext<void>): Promise<unknown> {
    return (await ctx.waitForEvent('go', 'go')).data;
  }
}

@Workflow({ name: 'invokes' })
class Invokes {
  async run(ctx: WorkflowContext<void>): Promise<number> {
    return ctx.invoke('child', OneStep);
  }
}

@Workflow({ name: 'one-step' })
class OneStep {
  constructor(private readonly work: Work) {}
  async run(_ctx: WorkflowContext<void>): Promise<number> {
    return this.work.one(0);
  }
}

/** Answers when all calls have begun. */
class Together extends CallPerformer {
  #begun = 0;
  #open: () => void = () => {};
  readonly #all = new Promise<void>((resolve) => (this.#open = resolve));

  async perform(): Promise<CallOutcome> {
    if (++this.#begun === STEPS) this.#open();
    await this.#all;
    return { ok: true, value: { status: 200, headers: {}, body: undefined } };
  }
  async close(): Promise<void> {}
}

/** So long that no beat and no poll falls into what is counted. */
const QUIET = { pollInterval: '1h', heartbeat: '1h', leaseTimeout: '3h' } as const;

/** Of one connection, so that the server's own count of it is complete. PGlite has one session anyway. */
const oneConnection = (database: TestDatabase): WorkflowModuleOptions['database'] =>
  database.url === undefined
    ? database.options
    : { type: 'postgres' as const, url: database.url, poolSize: 1 };

@Module({})
class Values {}
const withValues = ({ loadDataDir }: TestDatabase, runtime: Partial<RuntimeConfig>): DynamicModule => ({
  module: Values,
  global: true,
  providers: [
    // a new PGlite starts from it in half a second instead of three
    { provide: EMBEDDED_DUMP, useValue: loadDataDir },
    { provide: RUNTIME_OVERRIDES, useValue: runtime },
  ],
  exports: [EMBEDDED_DUMP, RUNTIME_OVERRIDES],
});

describe.each(DATABASES)('what is sent to $name', ({ name, create }) => {
  let app: INestApplication;
  let database: TestDatabase;

  async function start(
    options: WorkflowModuleOptions,
    clock?: Clock,
    runtime: Partial<RuntimeConfig> = {},
  ): Promise<Counter> {
    database = await create();
    const builder = Test.createTestingModule({
      imports: [
        withValues(database, runtime),
        WorkflowModule.forRoot({ database: oneConnection(database), worker: QUIET, ...options }),
      ],
      providers: [InARow, SideBySide, AtOnce, Calls, Waits, Invokes, OneStep, Work],
    });
    builder.overrideProvider(CallPerformer).useClass(Together);
    if (clock) builder.overrideProvider(Clock).useValue(clock);
    app = (await builder.compile()).createNestApplication({ logger: ['error'] });
    if (options.transport === 'in-process') await app.init();
    else await app.listen(0, '127.0.0.1');
    await expect.poll(() => app.get(WorkflowScheduler).running).toBe(true);
    await app.get(ScheduleRunner).look();
    const counter = new Counter(app.get(Database), app.get(SignalChannel));
    await counter.settled();
    counter.take();
    return counter;
  }

  afterEach(async () => {
    // what an end owes is paid by another statement later: of all these nothing is left to pay
    const owing = await app.get(Database).source.query('select run_id from workflow_run where unreported');
    await app.close();
    await database.dispose();
    if (owing.length > 0) throw new Error(`Runs that ended owe a statement: ${JSON.stringify(owing)}`);
  });

  /** A run from its trigger to the NOTIFY that tells of its end. */
  async function lone(counter: Counter) {
    const before = await counter.transactions();
    const told = counter.nextSignal();
    await app.get(WorkflowClient).trigger(InARow, undefined);
    await told;
    await app.get(WorkflowScheduler).idle();
    await counter.settled();
    const counts = counter.take();
    const after = await counter.transactions();
    // the transaction that asks is one of those begun
    return {
      counts,
      begun: after.begun - before.begun - 1,
      wrote: alone ? after.wrote - before.wrote : null,
    };
  }

  /** PGlite is this test's own; others use the PostgreSQL server meanwhile, and `begun` is the bound of what wrote there. */
  const alone = name === 'pglite';
  /** The listener of PGlite shares its only session, and reads what was notified in a transaction of its own. */
  const heard = alone ? 1 : 0;

  it('a lone run of 10 steps in-process: the trigger, a flush a step, the last one with the end, one notify', async () => {
    const counter = await start({ transport: 'in-process' });
    for (const _ of ['first', 'with prepared statements']) {
      const { counts, begun, wrote } = await lone(counter);
      expect(counts).toEqual({
        workflow_trigger_lean: 1,
        workflow_commit_steps: STEPS - 1,
        workflow_commit_lean: 1,
        workflow_notify: 1,
      });
      expect(begun).toBe(12 + heard);
      expect(wrote).toBe(alone ? 12 : null);
    }
  });

  // a process that delivers to itself goes on with what it has parked under the same lease; it once read before each call
  it('the same over HTTP: each of the 10 calls reads and writes no more', async () => {
    const counter = await start({ transport: 'http' });
    for (const _ of ['first', 'with prepared statements']) {
      const { counts, begun, wrote } = await lone(counter);
      expect(counts).toEqual({
        workflow_trigger_lean: 1,
        workflow_commit_turns: STEPS - 1,
        workflow_commit_lean: 1,
        workflow_notify: 1,
      });
      expect(begun).toBe(12 + heard);
      expect(wrote).toBe(alone ? 12 : null);
    }
  });

  it.each(['in-process', 'http'] as const)(
    'an event over %s: two flushes to the end of the run, no claim and no load',
    async (transport) => {
      const counter = await start({ transport });
      const client = app.get(WorkflowClient);
      const run = await client.trigger(Waits, undefined);
      await expect.poll(() => client.getWaiters('go')).toHaveLength(1);
      await app.get(WorkflowScheduler).idle();
      await counter.settled();
      counter.take();
      const told = counter.nextSignal();
      await client.notify('go', 0, { runId: run.runId });
      await told;
      await counter.settled();
      expect(counter.take()).toEqual({ workflow_notify_run: 1, workflow_commit: 1, workflow_notify: 1 });
    },
  );

  it('a child in-process: five flushes from the trigger of its parent to the end of that, no claim and no load', async () => {
    const counter = await start({ transport: 'in-process' });
    const ended = new Promise<void>((resolve) =>
      app.get(RunIntake).onEnded((run) => run?.runId === 'parent' && resolve()),
    );
    await app.get(WorkflowClient).trigger(Invokes, undefined, { runId: 'parent' });
    await ended;
    await app.get(WorkflowScheduler).idle();
    await counter.settled();
    const { workflow_notify: notifies = 0, ...counts } = counter.take();
    expect(counts).toEqual({
      // the parent and the child
      workflow_trigger_lean: 2,
      // the child's step with its end; the parent's answer with its end
      workflow_commit_lean: 2,
      workflow_mark_reported: 1,
    });
    // of the two ends, which lie closer together than 20 ms or not
    expect(notifies).toBeLessThanOrEqual(2);
  });

  it('10 steps side by side in-process: the trigger, one flush for all of them and the end, one notify', async () => {
    const counter = await start({ transport: 'in-process' });
    const told = counter.nextSignal();
    await app.get(WorkflowClient).trigger(SideBySide, undefined);
    await told;
    await app.get(WorkflowScheduler).idle();
    await counter.settled();
    expect(counter.take()).toEqual({ workflow_trigger_lean: 1, workflow_commit_lean: 1, workflow_notify: 1 });
    // the task of the run: inserted, deleted; each step once
    expect(await counter.rowWrites('workflow_task')).toBe(2);
    expect(await counter.rowWrites('workflow_step')).toBe(STEPS);
  });

  it('10 steps side by side as tasks: one statement for all of them at each hop', async () => {
    const counter = await start({ transport: 'in-process' }, undefined, { sideSteps: false });
    const scheduler = app.get(WorkflowScheduler);
    const ended = new Promise<void>((resolve) => app.get(RunIntake).onEnded(() => resolve()));
    await app.get(WorkflowClient).trigger(SideBySide, undefined);
    await ended;
    await scheduler.idle();
    await counter.settled();
    const { workflow_claim: claims = 0, workflow_notify: notifies = 0, ...counts } = counter.take();
    expect(counts).toEqual({
      workflow_trigger_lean: 1,
      // the 10 step tasks; then the answers with the end
      workflow_commit: 2,
      // for the 10 step tasks together; the run is read with its claim
      workflow_load: 1,
      workflow_answer: 1,
    });
    // one finds the steps, one the run. Each of the 10 answers and replies wakes the scheduler as well: while a claim is under
    // way all of them together ask for one more, so once after the answers, once after their replies
    expect(claims).toBeGreaterThanOrEqual(2);
    expect(claims).toBeLessThanOrEqual(4);
    // at most one in 20 ms: after the tasks, after the answers, after the end
    expect(notifies).toBeLessThanOrEqual(3);
  });

  it('10 calls side by side in-process: the same, for they load no more than their row', async () => {
    const counter = await start({ transport: 'in-process' });
    const ended = new Promise<void>((resolve) => app.get(RunIntake).onEnded(() => resolve()));
    await app.get(WorkflowClient).trigger(Calls, undefined);
    await ended;
    await app.get(WorkflowScheduler).idle();
    await counter.settled();
    const { workflow_claim: claims = 0, workflow_notify: notifies = 0, ...counts } = counter.take();
    expect(counts).toEqual({
      workflow_trigger_lean: 1,
      workflow_commit: 2,
      workflow_load: 1,
      workflow_answer: 1,
    });
    expect(claims).toBeGreaterThanOrEqual(2);
    expect(claims).toBeLessThanOrEqual(4);
    expect(notifies).toBeLessThanOrEqual(3);
    expect(await counter.rowWrites('workflow_task')).toBe(3 * STEPS + 5);
    expect(await counter.rowWrites('workflow_step')).toBe(3 * STEPS);
  });

  it('and three row writes in two tables for each of them', async () => {
    const counter = await start({ transport: 'in-process' }, undefined, { sideSteps: false });
    const ended = new Promise<void>((resolve) => app.get(RunIntake).onEnded(() => resolve()));
    await app.get(WorkflowClient).trigger(SideBySide, undefined);
    await ended;
    await counter.settled();
    // the tasks of the steps: inserted, claimed, deleted; that of the run: inserted, suspended, woken, claimed, deleted
    expect(await counter.rowWrites('workflow_task')).toBe(3 * STEPS + 5);
    // pending, answered, journaled
    expect(await counter.rowWrites('workflow_step')).toBe(3 * STEPS);
  });

  it('a burst: half of the places a claim, and one claim for all places that one flush makes free', async () => {
    const [runs, places] = [640, 32];
    const counter = await start({ transport: 'in-process', worker: { ...QUIET, concurrency: places } });
    let ended = 0;
    const all = new Promise<void>((resolve) =>
      app.get(RunIntake).onEnded((run) => run && ++ended === runs && resolve()),
    );
    await app.get(WorkflowClient).triggerMany(
      AtOnce,
      Array.from({ length: runs }, () => ({ payload: undefined })),
    );
    await all;
    await counter.settled();
    const { workflow_claim: claims = 0 } = counter.take();
    expect(claims).toBeGreaterThanOrEqual(runs / places);
    // two for as many runs as there are places, and a few where a flush was parted; with one for the first place and one for the
    // others, and one that knows of no place, they would be three
    expect(claims).toBeLessThanOrEqual((2.7 * runs) / places);
  });

  it('an idle process: one claim a poll; one beat, one sweep and one expiry a heartbeat', async () => {
    const clock = new TickedClock();
    const counter = await start({ transport: 'in-process', worker: {} }, clock);
    // until it has beaten well for a lease timeout it sweeps nothing
    await clock.pass(12_000, () => counter.settled());
    counter.take();
    await clock.pass(60_000, () => counter.settled());
    expect(counter.take()).toEqual({
      workflow_claim: 60,
      workflow_beat: 20,
      workflow_sweep_look: 20,
      // every 30 s a look for schedules takes the place of one, and one for versions that nobody serves
      workflow_expire: 16,
      workflow_due_schedules: 2,
      workflow_unserved_queues: 2,
    });
  });
});
