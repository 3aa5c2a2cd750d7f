import { Inject, Injectable, Optional } from '@nestjs/common';
import { versionName } from '../engine/version.js';
import { WorkflowError } from '../errors/index.js';
import {
  Clock,
  Probe,
  RunStore,
  type Delivery,
  type DeliveryReply,
  type Lease,
  type Loaded,
} from '../ports/index.js';
import { WorkflowRegistry, type WorkflowDefinition } from '../registry/index.js';
import { ActivationCache } from './activation-cache.js';
import { RuntimeConfig } from './config.js';
import type { DeliveryMode } from './delivery-mode.js';
import { JournalWriter } from './journal-writer.js';
import { keyOf, Leases } from './leases.js';
import { RunDeliveries } from './run-deliveries.js';
import { Signals } from './signals.js';
import { StepDeliveries } from './step-deliveries.js';
import { StepRunner } from './step-runner.js';
import { SameWaits } from './same-waits.js';
import { within } from './within.js';

/** At the end of a process that others still send deliveries to. */
const UNASKED_MS = 200;
const LINGER_MS = 2000;

/** Executes deliveries: advances a run, or executes one step of it. The rows are the truth; the reply is advice. */
@Injectable()
export class DeliveryExecutor {
  readonly #inFlight = new Set<string>();
  /** called when nothing is in flight any more */
  readonly #onIdle: (() => void)[] = [];
  readonly #heartbeat: SameWaits;
  #draining = false;
  #closing = false;
  /** when a delivery came over the network for the last time */
  #askedAt = -Infinity;

  constructor(
    private readonly registry: WorkflowRegistry,
    private readonly store: RunStore,
    private readonly writer: JournalWriter,
    private readonly runs: RunDeliveries,
    private readonly singleSteps: StepDeliveries,
    private readonly cache: ActivationCache,
    private readonly steps: StepRunner,
    private readonly leases: Leases,
    private readonly signals: Signals,
    private readonly clock: Clock,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
    @Optional() private readonly probe?: Probe,
  ) {
    this.#heartbeat = new SameWaits(clock, config.heartbeatMs);
  }

  /** A run that was inserted already leased: nothing needs to be read to start on it. */
  prepare(lease: Lease, loaded: Loaded): void {
    this.runs.prepare(lease, loaded);
  }

  /** Its lease is over. */
  forget(lease: Lease): void {
    this.runs.forget(lease);
  }

  /** Without `async`: see `serve` of the HTTP endpoint. */
  execute(delivery: Delivery, mode: DeliveryMode): Promise<DeliveryReply> {
    if (mode.guarded) this.#askedAt = this.clock.elapsed();
    if (this.#draining) {
      return Promise.reject(new WorkflowError('WF_SHUTTING_DOWN', 'This process is shutting down'));
    }
    const { workflow, version, taskId, fence } = delivery;
    const definition = this.registry.get(workflow, version);
    if (!definition) {
      const what = `Workflow ${versionName(workflow, version)} is not served here`;
      return Promise.reject(new WorkflowError('WF_NOT_SERVED', what));
    }
    const lease = { taskId, fence };
    const id = keyOf(lease);
    // the dispatcher never delivers a task twice at a time: this is a copy made on the way
    if (this.#inFlight.has(id)) return Promise.resolve({ next: 'stale' });
    this.#inFlight.add(id);
    let adopted = false;
    let callOff: (() => void) | undefined;
    const end = (): void => {
      callOff?.();
      this.#inFlight.delete(id);
      this.leases.executed(lease);
      if (adopted) this.leases.forget(lease);
      if (this.#inFlight.size === 0) for (const idle of this.#onIdle.splice(0)) idle();
    };
    const work = this.#work(delivery, definition, mode, () => adopted).then(
      (reply) => {
        end();
        return reply;
      },
      (error: unknown) => {
        end();
        throw error;
      },
    );
    if (!mode.guarded) return work;
    // a long step outlives its dispatcher
    return new Promise((resolve, reject) => {
      callOff = this.#heartbeat.begin(() => resolve(this.#orAdopt(work, lease, () => (adopted = true))));
      work.then(resolve, reject);
    });
  }

  /** This process is about to end: what comes is executed still, and whoever sends it should know others. */
  close(): void {
    this.#closing = true;
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** Refuses what comes from now on, and waits for what is under way. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    await within(this.clock, graceMs, this.#idle());
    if (this.#inFlight.size > 0) {
      this.steps.abortAll(new Error('This process is shutting down'));
      // a database that is away must not keep the process from ending: what was not stored is repeated elsewhere
      this.writer.giveUp();
      await this.#idle();
    }
    this.cache.clear();
  }

  /**
   * Resolves when nobody sends anything here any more, after a while in any case. A server that closes while others use its kept
   * connections leaves them with deliveries of unknown fate, which cost a lease timeout each; each answer until then sends one
   * of them elsewhere.
   */
  async unasked(): Promise<void> {
    const end = this.clock.elapsed() + LINGER_MS;
    for (;;) {
      const left = Math.min(this.#askedAt + UNASKED_MS, end) - this.clock.elapsed();
      if (left <= 0) return;
      await new Promise<void>((resolve) => this.clock.after(left, resolve));
    }
  }

  /** Resolves when nothing is in flight. */
  async #idle(): Promise<void> {
    if (this.#inFlight.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  #work(
    delivery: Delivery,
    definition: WorkflowDefinition,
    mode: DeliveryMode,
    adopted: () => boolean,
  ): Promise<DeliveryReply> {
    const work = (): Promise<DeliveryReply> =>
      delivery.step === undefined
        ? this.runs.advance(delivery, definition, mode, adopted)
        : this.singleSteps.execute(delivery, delivery.step, definition);
    return this.probe ? this.#probed(this.probe, delivery, work) : work();
  }

  async #probed(
    probe: Probe,
    { runId, step }: Delivery,
    work: () => Promise<DeliveryReply>,
  ): Promise<DeliveryReply> {
    const detail = { runId, ...(step !== undefined && { step }) };
    await probe.at('delivery-received', detail);
    const reply = await work();
    await probe.at('reply-sent', detail);
    return reply;
  }

  /** After one heartbeat this process takes the lease over and answers. */
  async #orAdopt(work: Promise<DeliveryReply>, lease: Lease, onAdopted: () => void): Promise<DeliveryReply> {
    const taken = await this.leases.adopt(lease).catch(() => false);
    if (!taken) return work;
    onAdopted();
    work.then(
      () => this.signals.announceDue(),
      () => this.store.release([lease], 1000).catch(() => {}),
    );
    return { next: 'adopted' };
  }
}
