import { hostname } from 'node:os';
import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import { Chance, Clock, HeartbeatThread, RunStore, type Lease } from '../ports/index.js';
import { WorkflowRegistry } from '../registry/index.js';
import { RuntimeConfig } from './config.js';
import { StepRunner } from './step-runner.js';

/** A lease that this process holds or works under. */
interface Held extends Lease {
  readonly execution: string;
  /** its run was cancelled from here: nothing is known of the lease until it is looked up */
  suspected?: true;
}

/** Leases are in doubt when the last beat is older than this part of the lease timeout. */
const DOUBT = 0.7;

/**
 * Says that this process lives, and knows what it holds. A process whose own beat was late starts nothing until it has beaten
 * again, and sweeps nothing until it has beaten well for one lease timeout: it may be the one that is presumed dead.
 */
@Injectable()
export class Leases {
  readonly worker: string;
  readonly #logger = new Logger('Workflow');
  /** leased to this worker, and known here */
  readonly #owned = new Map<string, Held>();
  /** how often the others have presumed this process dead: what was read in another life says nothing of a lease */
  #life = 0;
  /** executing here, under a lease of this or of another worker */
  readonly #executing = new Map<string, Held>();
  /** leased to this worker in the last beat, and unknown here: a claim whose reply was lost, or one that is on its way */
  #unknown = new Set<string>();
  #timer: (() => void) | undefined;
  #lastBeat = -Infinity;
  #wellSince = Infinity;
  #lastSweep = -Infinity;
  #running = false;
  #beating: Promise<void> = Promise.resolve();
  onFreed: () => void = () => {};
  onOwed: () => void = () => {};
  readonly #upkeep = new Set<() => Promise<boolean>>();

  constructor(
    private readonly store: RunStore,
    private readonly clock: Clock,
    private readonly steps: StepRunner,
    private readonly registry: WorkflowRegistry,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
    chance: Chance,
    @Optional() private readonly thread?: HeartbeatThread,
  ) {
    this.worker = chance.uuid();
    steps.mayStart = (lease) => !this.inDoubt && this.#isHeld(keyOf(lease));
  }

  /** Taken before the load that shows a lease to be valid, and given to `executing`. */
  get life(): number {
    return this.#life;
  }

  /** Registers before anything is owned. */
  async start(): Promise<void> {
    await this.register();
    this.#lastBeat = this.#wellSince = this.clock.elapsed();
    this.#running = true;
    const { heartbeatMs, maxBlockedMs } = this.config;
    if (maxBlockedMs > 0) await this.thread?.start({ worker: this.worker, heartbeatMs, maxBlockedMs });
    this.#schedule();
  }

  /** Also again: says that this process lives, and what it serves. */
  register(): Promise<void> {
    const serves = this.config.worker ? this.registry.queues() : [];
    return this.store.register(this.worker, hostname(), process.pid, serves);
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.();
    await this.#beating;
    await this.thread?.stop();
    await this.store.unregister(this.worker).catch(() => {});
  }

  /** True while nothing may be started: the others may already have given our tasks away. */
  get inDoubt(): boolean {
    return !this.#running || (this.#late && !(this.#threadBeatAgo <= this.config.leaseTimeoutMs * DOUBT));
  }

  /** By its own beats alone: those of the thread keep the leases, and say nothing of what others have lost meanwhile. */
  get #late(): boolean {
    return this.clock.elapsed() - this.#lastBeat > this.config.leaseTimeoutMs * DOUBT;
  }

  get #threadBeatAgo(): number {
    return this.thread?.lastBeatAgo ?? Infinity;
  }

  /**
   * Other upkeep of this process, in the rounds of the sweep. True when it has sent something; the rest then waits for the next
   * round, so that an idle process sends as many statements with it as without. Returns how to leave it out again.
   */
  inRounds(work: () => Promise<boolean>): () => void {
    this.#upkeep.add(work);
    return () => this.#upkeep.delete(work);
  }

  hold(lease: Lease, execution: string): void {
    this.#owned.set(keyOf(lease), { taskId: lease.taskId, fence: lease.fence, execution });
  }

  /**
   * True while nobody else can have the lease: it was claimed for this process, its beats were in time and said nothing else.
   * For what was cancelled by another process meanwhile it takes a beat to know, as for a step that executes.
   */
  has(lease: Lease): boolean {
    const held = this.#owned.get(keyOf(lease));
    return held !== undefined && !held.suspected && !this.inDoubt;
  }

  /** The leases of this execution may be gone. */
  suspect(execution: string): void {
    for (const held of this.#owned.values()) if (held.execution === execution) held.suspected = true;
  }

  forget(lease: Lease): void {
    this.#owned.delete(keyOf(lease));
  }

  /** @param life in which the lease was seen to be valid; of another one nothing is executed */
  executing(lease: Lease, execution: string, life: number): void {
    if (life !== this.#life) return;
    this.#executing.set(keyOf(lease), { taskId: lease.taskId, fence: lease.fence, execution });
  }

  executed(lease: Lease): void {
    this.#executing.delete(keyOf(lease));
  }

  /** Takes the task over from the dispatcher that delivered it. False: the lease has moved on. */
  async adopt(lease: Lease): Promise<boolean> {
    if (this.inDoubt || !(await this.store.adopt(lease, this.worker))) return false;
    const held = this.#executing.get(keyOf(lease));
    if (held) this.#owned.set(keyOf(lease), held);
    return true;
  }

  /** One beat now; the timer calls it, and tests may. */
  async beat(): Promise<void> {
    const sent = this.clock.elapsed();
    const held = new Map([...this.#executing, ...this.#owned]);
    const { alive, leases, valid } = await this.store.beat(this.worker, [...held.values()]);
    if (!alive) {
      // presumed dead: everything was given away, and the fences shut our writes out
      this.#logger.warn(
        'This process was presumed dead by the others and starts over; its tasks were given to them.',
      );
      // also what came to be held since: it rests on what was read before
      this.#life++;
      for (const one of new Map([...held, ...this.#executing, ...this.#owned]).values()) this.#lose(one);
      await this.register();
      this.#wellSince = this.clock.elapsed();
    } else {
      this.#compare(held, leases, valid);
    }
    if (sent - this.#lastBeat > this.config.leaseTimeoutMs * DOUBT) this.#wellSince = sent;
    this.#lastBeat = sent;
    this.thread?.beaten(this.clock.elapsed() - sent);
  }

  /** Gives the tasks of silent workers to others. */
  async sweep(): Promise<void> {
    const { leaseTimeoutMs } = this.config;
    if (!this.#running || this.#late || this.clock.elapsed() - this.#wellSince < leaseTimeoutMs) return;
    const freed = await this.store.sweep(this.worker, leaseTimeoutMs);
    if (freed > 0) this.onFreed();
  }

  #compare(held: ReadonlyMap<string, Held>, leases: readonly Lease[], valid: readonly Lease[]): void {
    const stillValid = new Set(valid.map(keyOf));
    for (const [key, one] of held) if (this.#isHeld(key) && !stillValid.has(key)) this.#lose(one);
    const unknown = leases.filter((lease) => !held.has(keyOf(lease)) && !this.#isHeld(keyOf(lease)));
    const twice = unknown.filter((lease) => this.#unknown.has(keyOf(lease)));
    this.#unknown = new Set(unknown.map(keyOf));
    if (twice.length > 0) this.store.release(twice, 0).then(this.onFreed, () => {});
  }

  #isHeld(key: string): boolean {
    return this.#owned.has(key) || this.#executing.has(key);
  }

  #lose(held: Held): void {
    this.forget(held);
    this.executed(held);
    this.steps.abortLease(held, new Error('The lease of this task was lost'));
  }

  #schedule(): void {
    if (!this.#running) return;
    this.#timer = this.clock.after(this.config.heartbeatMs, () => {
      this.#beating = this.#round().finally(() => this.#schedule());
    });
  }

  async #round(): Promise<void> {
    try {
      await this.beat();
      if (this.clock.elapsed() - this.#lastSweep < this.config.leaseTimeoutMs / 4) return;
      this.#lastSweep = this.clock.elapsed();
      await this.sweep();
      for (const work of this.#upkeep) if (await work()) return;
      const { delivered, owed } = await this.store.expire();
      if (delivered) this.onFreed();
      if (owed) this.onOwed();
    } catch (error) {
      this.#logger.warn(`Heartbeat failed: ${(error as Error).message}`);
    }
  }
}

export const keyOf = (lease: Lease): string => `${lease.taskId}/${lease.fence}`;
