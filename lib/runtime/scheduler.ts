import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import {
  Clock,
  DeliveryError,
  Probe,
  RunStore,
  type DeliveryReply,
  type Lease,
  type Loaded,
  type Task,
  type Transport,
} from '../ports/index.js';
import { WorkflowRegistry } from '../registry/index.js';
import { CallTasks } from './call-tasks.js';
import { Capacity } from './capacity.js';
import { READ_ROWS, RuntimeConfig } from './config.js';
import { Deliverer } from './deliverer.js';
import { AHEAD_MS, earlyOf, LEAD_MS, type Early } from './early.js';
import { DeliveryExecutor } from './delivery-executor.js';
import { Inspector } from './inspector.js';
import { Leases } from './leases.js';
import { Signals } from './signals.js';

/** Every so often a claim looks without a floor: a task whose transaction committed late lies below it. */
const FLOORLESS_EVERY_MS = 1000;
const FLOOR_SLACK_MS = 5000;
/** When the lines of flow control are ready and give nothing: others are at them, or serve what waits there. */
const FIRST_FLOW_PAUSE_MS = 25;
const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;

/**
 * The scheduler of this process. Owns delays, retries and event-wait timeouts: all of them are due times of task rows, and
 * one timer sleeps until the earliest. Claims what is due, as much as there is capacity for, and delivers it.
 */
@Injectable()
export class WorkflowScheduler {
  readonly #logger = new Logger('Workflow');
  #deliverer: Deliverer | undefined;
  #timer: (() => void) | undefined;
  #timerAt = Infinity;
  /** what becomes due first of that which was noted since the last claim was sent: its snapshot may be older */
  #notedAt = Infinity;
  #claiming = false;
  #claims: Promise<void> = Promise.resolve();
  #again = false;
  #waking: Promise<void> | undefined;
  /** the last claim may have left something for which there was no place */
  #left = false;
  #stopped = true;
  #floor: number | null = null;
  #floorlessAt = -Infinity;
  #failures = 0;
  /** something is ready in a line of flow control */
  #flowReady = false;
  #flowTurn = false;
  #flowPauseMs = FIRST_FLOW_PAUSE_MS;
  #flowPausedUntil = -Infinity;
  #unsubscribe: (() => void)[] = [];
  readonly #driving = new Set<Promise<void>>();
  readonly #pauses = new Set<() => void>();
  /** external calls under way; they have places of their own, as one may take hours */
  #calling = 0;

  constructor(
    private readonly store: RunStore,
    private readonly registry: WorkflowRegistry,
    private readonly leases: Leases,
    private readonly capacity: Capacity,
    private readonly signals: Signals,
    private readonly clock: Clock,
    private readonly executor: DeliveryExecutor,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
    @Optional() private readonly calls?: CallTasks,
    @Optional() private readonly probe?: Probe,
    @Optional() private readonly inspector?: Inspector,
  ) {}

  /** Begins to claim and deliver; to the code of this process itself (`own`) what `transport` leads to no code for. */
  start(transport: Transport, own = transport): void {
    this.#deliverer = new Deliverer(transport, own, (ms) => this.#pause(ms));
    this.#begin();
  }

  #begin(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.capacity.open(this.leases.worker, this.config.concurrency, this.registry.queues(), (task, fresh) => {
      // over HTTP the code may run in another process: there the fresh run is read as any other
      if (fresh) this.executor.prepare(task, fresh);
      this.#launch(task);
    });
    this.leases.onFreed = () => this.wake();
    this.capacity.onFreed = () => {
      if (this.#again || this.#left) this.#wakeSoon();
    };
    this.#unsubscribe = [
      this.signals.on('due', () => this.wake()),
      this.signals.onDueIn((ms) => this.#wakeIn(this.#leadMs > 0 ? ms - AHEAD_MS : ms)),
    ];
    this.wake();
  }

  /** True once tasks are claimed here. */
  get running(): boolean {
    return !this.#stopped;
  }

  /** By which way deliveries go; undefined before the start. */
  get transport(): 'http' | 'in-process' | undefined {
    return this.#deliverer?.transport.kind;
  }

  /** Tasks this process works on at the moment. */
  get active(): number {
    return this.capacity.used;
  }

  /** No claim from now on; what is under way goes on. */
  stop(): void {
    this.#stopped = true;
    this.capacity.close();
    this.#timer?.();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    for (const cut of this.#pauses) cut();
  }

  /** Claims again after a stop, by the way it had; does nothing before the first start. */
  resume(): void {
    if (this.#deliverer) this.#begin();
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    while (this.#driving.size > 0) await Promise.allSettled(this.#driving);
  }

  /** As `idle`, and no claim is on its way that could bring something. */
  async quiet(): Promise<void> {
    do {
      await this.#waking;
      await this.#claims;
      await this.idle();
    } while (this.#claiming || this.#waking);
  }

  /** Looks for due tasks now. */
  wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    if (!this.#claiming) this.#claims = this.#claimAll();
  }

  /** Places that become free in the same turn of the loop, as those of one flush do, are filled by one claim. */
  #wakeSoon(): void {
    this.#waking ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#waking = undefined;
        this.wake();
        resolve();
      });
    });
  }

  async #claimAll(): Promise<void> {
    this.#claiming = true;
    try {
      while (this.#again && !this.#stopped && this.#hasPlace && !this.leases.inDoubt) {
        this.#again = false;
        await this.#round();
      }
    } catch (error) {
      this.#logger.warn(`Claiming failed, trying on: ${(error as Error).message}`);
      this.#sleep(this.config.pollMs);
    } finally {
      this.#claiming = false;
    }
    if (this.#timer === undefined || this.leases.inDoubt) this.#sleep(this.config.pollMs);
  }

  /** Queues and lines share the places; where both have something, each has the first half in turn, so that neither starves. */
  async #round(): Promise<void> {
    const both = this.#flowReady;
    this.#flowTurn = both && !this.#flowTurn;
    if (this.#flowTurn)
      await this.#claimFlow(Math.ceil(this.capacity.free / 2), Math.ceil(this.#callPlaces / 2));
    if (this.#hasPlace) {
      const part = both && !this.#flowTurn ? 2 : 1;
      // of many that are due never all places in one claim: the code of one part runs while the database has the other
      const most = Math.ceil(this.config.concurrency / 2);
      const limit = Math.min(most, Math.ceil(this.capacity.free / part));
      await this.#claim(limit, Math.ceil(this.#callPlaces / part));
    }
    if (!this.#flowTurn && this.#flowReady && this.#hasPlace)
      await this.#claimFlow(this.capacity.free, this.#callPlaces);
    // what is left waits for a place
    if (this.#flowReady) this.#again = this.#left = true;
  }

  async #claimFlow(limit: number, calls: number): Promise<void> {
    const { tasks, progress } = await this.store.claimFlow(
      this.leases.worker,
      this.registry.queues(),
      limit,
      calls,
    );
    await this.#take(tasks);
    this.#flowReady = progress;
    if (limit === 0) return void (this.#left = true);
    this.#flowPauseMs = progress ? FIRST_FLOW_PAUSE_MS : Math.min(2 * this.#flowPauseMs, this.config.pollMs);
    if (!progress) {
      this.#flowPausedUntil = this.clock.elapsed() + this.#flowPauseMs;
      this.#wakeIn(this.#flowPauseMs);
    }
  }

  get #leadMs(): number {
    return this.clock.sqlNow() === null ? LEAD_MS : 0;
  }

  async #take(
    tasks: readonly Task[],
    loads?: ReadonlyMap<string, Loaded>,
    early?: ReadonlyMap<string, Early>,
  ): Promise<number> {
    const called = tasks.filter(({ kind }) => kind === 'call').length;
    this.capacity.take(tasks.length - called);
    this.#calling += called;
    for (const task of tasks) {
      this.leases.hold(task, task.execution);
      const loaded = loads?.get(task.taskId);
      if (loaded && !early?.has(task.taskId)) this.executor.prepare(task, loaded);
    }
    if (this.probe && tasks.length > 0) await this.probe.at('claimed', { runId: tasks[0]!.runId });
    for (const task of tasks) this.#launch(task, early?.get(task.taskId));
    return called;
  }

  get #callPlaces(): number {
    return this.calls ? Math.max(0, this.calls.limit - this.#calling) : 0;
  }

  get #hasPlace(): boolean {
    return this.capacity.free > 0 || this.#callPlaces > 0;
  }

  async #claim(limit: number, calls: number): Promise<void> {
    const sent = this.clock.elapsed();
    this.#notedAt = Infinity;
    const floorless = sent - this.#floorlessAt >= FLOORLESS_EVERY_MS;
    if (floorless) this.#floorlessAt = sent;
    const { life } = this.leases;
    const floor = floorless ? null : this.#floor;
    const leadMs = this.#leadMs;
    const claimed = await this.store.claim(
      this.leases.worker,
      this.registry.queues(),
      limit,
      floor,
      calls,
      this.capacity.priorities,
      READ_ROWS,
      leadMs,
    );
    const passed = this.clock.elapsed() - sent;
    const { tasks, now, oldestDueAt, nextDueAt, flowDueAt, priorities } = claimed;
    for (const priority of priorities ?? []) this.capacity.uses(priority);
    // presumed dead meanwhile, this process does not know what became of what it read
    const loads = life === this.leases.life ? claimed.loads : undefined;
    const called = await this.#take(tasks, loads, earlyOf(claimed, loads, sent + passed, passed));
    // with no place at all nothing was looked for: whoever woke us then would not do it again
    this.#left = tasks.length - called === limit;
    // what a full claim has left is older than what comes: a floor above it would hide it from all claims but one a second
    const isFull = this.#left || (this.calls !== undefined && called === calls);
    const bound = isFull ? oldestDueAt : now;
    this.#floor = bound == null ? floor : bound - FLOOR_SLACK_MS;
    // a full claim may have left some; the next one goes out when a place is free
    if ((this.#left && this.capacity.free > 0) || (calls > 0 && called === calls)) this.#again = true;
    const flowPause = Math.max(0, this.#flowPausedUntil - this.clock.elapsed());
    this.#flowReady = flowDueAt !== null && flowDueAt <= now && flowPause === 0;
    const flowIn = flowDueAt === null || this.#flowReady ? Infinity : Math.max(flowDueAt - now, flowPause);
    const nextIn = nextDueAt === null ? Infinity : nextDueAt - now - passed - (leadMs > 0 ? AHEAD_MS : 0);
    this.#sleep(Math.min(nextIn, flowIn, this.#notedAt - this.clock.elapsed()));
  }

  /** One timer: until the next due time, at most one poll interval. */
  #sleep(ms: number): void {
    this.#timer?.();
    const wait = Math.max(0, Math.min(ms, this.config.pollMs));
    this.#timerAt = this.clock.elapsed() + wait;
    this.#timer = this.clock.after(wait, () => this.wake());
  }

  #wakeIn(ms: number): void {
    if (ms <= 0) return this.wake();
    this.#notedAt = Math.min(this.#notedAt, this.clock.elapsed() + ms);
    if (this.clock.elapsed() + ms < this.#timerAt) this.#sleep(ms);
  }

  #launch(task: Task, early?: Early): void {
    const call = task.kind === 'call';
    const work = (): Promise<void> => (call ? this.#call(task) : this.#drive(task));
    if (task.kind === 'advance') this.signals.begin(task.runId);
    const end = (): void => {
      this.#driving.delete(driving);
      if (task.kind === 'advance') this.signals.leave(task.runId);
      this.leases.forget(task);
      this.executor.forget(task);
      if (call) this.#calling--;
      else this.capacity.giveBack();
      // its slot is free, or it stands in line again
      if (task.flow) this.signals.announceDue();
      if (call && (this.#again || this.#left)) this.wake();
    };
    // not `finally`, which makes three promises more; what is thrown stays thrown
    const driving = (early ? this.#inTime(task, early, work) : work()).then(end, (error: unknown) => {
      end();
      throw error;
    });
    this.#driving.add(driving);
  }

  async #inTime(task: Task, { at, dueAt, loaded }: Early, work: () => Promise<void>): Promise<void> {
    for (let left: number; (left = at - this.clock.elapsed()) > 0;)
      if (!(await this.#pause(Math.ceil(left)))) return this.#release(task, left);
    const late = this.clock.elapsed() - at;
    // what is known to be cancelled meanwhile is looked up
    if (loaded && this.leases.has(task)) this.executor.prepare(task, { ...loaded, now: dueAt + late });
    return work();
  }

  async #call(task: Task): Promise<void> {
    if (this.#stopped) return this.#release(task, 0);
    const againMs = await this.calls!.execute(task);
    // does nothing under another fence; the task of a run that has ended goes with it
    if (againMs !== null) await this.#release(task, againMs);
  }

  /** Delivers a task until its run waits, ends, or goes on elsewhere. */
  async #drive(task: Task): Promise<void> {
    const { taskId, fence, runId, workflow, version, step } = task;
    const detail = step === null ? { runId } : { runId, step };
    for (let seq = 0; ;) {
      // also a task that a claim brought after the stop: given back at once, it need not wait for the sweep
      if (this.#stopped) return this.#release(task, 0);
      let reply: DeliveryReply;
      try {
        if (this.probe) await this.probe.at('delivery-sent', detail);
        // both written out: a spread that adds a key gives each delivery a shape of its own (ADR 20)
        reply = await this.#deliverer!.deliver(
          step === null
            ? { workflow, version, runId, taskId, fence, seq }
            : { workflow, version, runId, taskId, fence, seq, step },
        );
        if (this.probe) await this.probe.at('reply-received', detail);
      } catch (error) {
        return this.#undelivered(task, error);
      }
      this.#failures = 0;
      if (reply.next === 'waiting' && reply.dueInMs !== undefined) this.signals.noteDue(reply.dueInMs);
      if (reply.next === 'done') this.signals.tell('due');
      // in-process whoever executed it has told this process already
      if (reply.next === 'finished' && this.transport === 'http') this.signals.tell('ended');
      // rows of another fence are not touched by this; a task that is still ours would hang until the next two beats
      if (reply.next === 'stale') return this.#release(task, 0);
      if (reply.next !== 'continue') return;
      seq = reply.seq;
    }
  }

  async #undelivered(task: Task, error: unknown): Promise<void> {
    this.inspector?.undelivered(task, error);
    const fate = error instanceof DeliveryError ? error.fate : 'failed';
    const message = (error as Error).message;
    if (fate === 'unknown') {
      this.#logger.warn(
        `No reply to a delivery of run ${task.runId}: ${message}. It is repeated after the lease timeout.`,
      );
      // at a shutdown nobody waits: the lease goes when this worker is no longer registered
      return (await this.#pause(this.config.leaseTimeoutMs)) ? this.#release(task, 0) : undefined;
    }
    const backoff = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures++, 10));
    if (fate === 'refused') this.#logger.error(`The endpoint refuses deliveries: ${message}`);
    else if (!this.#stopped)
      this.#logger.warn(
        `Delivery of run ${task.runId} failed (${fate}), repeated in ${backoff} ms: ${message}`,
      );
    return this.#release(task, this.#stopped ? 0 : backoff);
  }

  async #release(lease: Lease, delayMs: number): Promise<void> {
    try {
      await this.store.release([lease], delayMs);
      this.signals.noteDue(delayMs);
    } catch {
      // the heartbeat gives back what nobody here knows
    }
  }

  /** False when the scheduler was stopped meanwhile. */
  #pause(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const callOff = this.clock.after(ms, () => end(true));
      const cut = (): void => end(false);
      const end = (whole: boolean): void => {
        callOff();
        this.#pauses.delete(cut);
        resolve(whole);
      };
      this.#pauses.add(cut);
      if (this.#stopped) cut();
    });
  }
}
