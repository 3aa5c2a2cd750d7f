import { randomUUID } from 'node:crypto';
import type { INestApplicationContext } from '@nestjs/common';
import { runScope } from '../authoring/index.js';
import { type Duration, parseDuration } from '../engine/duration.js';
import { WorkflowError } from '../errors/index.js';
import { RunStore } from '../ports/index.js';
import { WorkflowRegistry } from '../registry/index.js';
import { ActivationCache } from '../runtime/activation-cache.js';
import { WebhookEndpoint } from '../http/index.js';
import { Aftermath } from '../runtime/aftermath.js';
import { Leases } from '../runtime/leases.js';
import { WorkflowScheduler } from '../runtime/scheduler.js';
import { ScheduleRunner } from '../runtime/schedules.js';
import { StepRunner } from '../runtime/step-runner.js';
import { Database } from '../typeorm/database.js';
import { BenchClock } from './bench-clock.js';
import { ReplayInspector } from './replay-inspector.js';
import { callEndpoint, type WebhookAnswer, type WebhookTestCall } from './webhook-call.js';
import { workloadAt } from './workload.js';

/** Between two looks at what nothing in this process tells the end of: a delivery by HTTP that was adopted. */
const LOOK_MS = 5;
/** Every worker has been silent for longer than this. */
const NO_TIME_AT_ALL_MS = -60_000;

const benches = new WeakMap<BenchClock, WorkflowBench>();

/** Moves the time of an application that uses `WorkflowTestingModule`, and waits until its workflows have done what is due. */
export class WorkflowBench {
  readonly #clock: BenchClock;
  readonly #inspector: ReplayInspector;
  readonly #scheduler: WorkflowScheduler;
  readonly #schedules: ScheduleRunner;
  readonly #registry: WorkflowRegistry;
  readonly #aftermath: Aftermath;
  readonly #leases: Leases;
  readonly #steps: StepRunner;
  readonly #cache: ActivationCache;
  readonly #database: Database;
  readonly #store: RunStore;
  readonly #webhooks: WebhookEndpoint;
  /** calls are done one after the other */
  #last: Promise<unknown> = Promise.resolve();
  #crashing = false;

  private constructor(app: INestApplicationContext) {
    this.#clock = find(app, BenchClock);
    this.#inspector = find(app, ReplayInspector);
    this.#scheduler = find(app, WorkflowScheduler);
    this.#schedules = find(app, ScheduleRunner);
    this.#registry = find(app, WorkflowRegistry);
    this.#aftermath = find(app, Aftermath);
    this.#leases = find(app, Leases);
    this.#steps = find(app, StepRunner);
    this.#cache = find(app, ActivationCache);
    this.#database = find(app, Database);
    this.#store = find(app, RunStore);
    this.#webhooks = find(app, WebhookEndpoint);
  }

  /**
   * The bench of an application or testing module, the same one each time.
   * @throws WorkflowError WF_NO_BENCH when it does not use `WorkflowTestingModule`
   */
  static of(app: INestApplicationContext): WorkflowBench {
    const clock = find(app, BenchClock);
    const bench = benches.get(clock) ?? new WorkflowBench(app);
    benches.set(clock, bench);
    return bench;
  }

  /** The time of runs: what their sleeps, timeouts, retries and `ctx.now()` go by. It stands still between two advances. */
  now(): Date {
    return this.#clock.sqlNow();
  }

  /**
   * Resolves when nothing is due at the present time of runs, and nothing is executed: each run has ended or waits for
   * an event or a later time. Steps that take real time are waited for.
   * @throws WorkflowError WF_NON_DETERMINISM when a `run` asked for something else when it was replayed; any error on which
   * the engine could not go on with a run
   */
  async untilIdle(): Promise<void> {
    return this.#inTurn(async () => void (await this.#settle()));
  }

  /** Moves time on, and stops at each moment in between at which something is due until that is done, as in `untilIdle`. */
  async advance(by: Duration): Promise<void> {
    const ms = parseDuration(by);
    return this.#inTurn(async () => {
      const target = this.#clock.now + ms;
      for (;;) {
        const nextAt = await this.#settle();
        if (this.#clock.now >= target) return;
        this.#clock.moveTo(Math.min(nextAt ?? target, target));
      }
    });
  }

  /**
   * Calls a webhook as a sender from outside would, with all that is checked then, but without an HTTP server. With 202 the call
   * is kept; the run takes it in the next `untilIdle` or `advance`, or by itself.
   * @param url as `ctx.createWebhook` gave it, perhaps with a query
   */
  callWebhook(url: string | URL, call: WebhookTestCall = {}): Promise<WebhookAnswer> {
    return callEndpoint(this.#webhooks, url, call);
  }

  /**
   * As if the process were killed at this moment and another one started: what executes is aborted and its result is lost, what
   * is in memory is forgotten, and all goes on from the database. A step that does not heed its signal goes on in the background.
   * An `advance` or `untilIdle` that is under way goes on as well, and ends when the runs have caught up.
   */
  async crashAndRestart(): Promise<void> {
    this.#refuseInRun();
    this.#crashing = true;
    this.#scheduler.stop();
    await this.#loseLeases();
    const ended = this.#scheduler.quiet().then(() => true);
    // an activation between two steps finds out at its next flush that it is dead, and may begin one until then
    do this.#steps.abortAll(new Error('The process was killed by the test bench'));
    while (!(await Promise.race([ended, later()])));
    // what was being written then was passed over
    await this.#loseLeases();
    this.#cache.clear();
    this.#scheduler.resume();
    this.#crashing = false;
  }

  /** As the sweep of another process, for which this one has never been alive. */
  async #loseLeases(): Promise<void> {
    await this.#store.sweep(randomUUID(), NO_TIME_AT_ALL_MS);
    await this.#leases.register();
  }

  /** @returns when the next task, or the time of the next schedule, becomes due */
  async #settle(): Promise<number | null> {
    for (;;) {
      if (!this.#scheduler.running && this.#leases.inDoubt && !this.#crashing) {
        throw new WorkflowError('WF_NO_BENCH', 'The application is not initialized, or was closed');
      }
      this.#scheduler.wake();
      await this.#scheduler.quiet();
      this.#inspector.tell();
      const { leased, due, owed, nextAt } = await workloadAt(
        this.#database,
        this.#registry.queues(),
        this.#clock.now,
      );
      if (owed > 0) this.#aftermath.settle();
      if (leased === 0 && due === 0 && owed === 0 && this.#scheduler.active === 0) {
        const schedules = await this.#schedules.look();
        if (!schedules.moved) return earliest(nextAt, schedules.nextAt);
      }
      await later();
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#refuseInRun();
    const turn = this.#last.then(work, work);
    this.#last = turn;
    return turn;
  }

  #refuseInRun(): void {
    const scope = runScope.getStore();
    if (scope) {
      throw new WorkflowError(
        'WF_INVALID_ARGUMENT',
        `The test bench is called inside run ${scope.session.info.runId}, and would wait for itself; call it from the test`,
      );
    }
  }
}

const earliest = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

const later = (): Promise<false> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(false), LOOK_MS);
  });

function find<T>(app: INestApplicationContext, token: abstract new (...args: any[]) => T): T {
  try {
    return app.get<T>(token, { strict: false });
  } catch (error) {
    throw new WorkflowError('WF_NO_BENCH', 'This application has no test bench', { cause: error });
  }
}
