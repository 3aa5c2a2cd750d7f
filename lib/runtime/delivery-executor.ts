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
import { Leases } from './leases.js';
import { RunDeliveries } from './run-deliveries.js';
import { Signals } from './signals.js';
import { StepDeliveries } from './step-deliveries.js';
import { StepRunner } from './step-runner.js';
import { within } from './within.js';

/** At the end of a process that others still send deliveries to. */
const UNASKED_MS = 200;
const LINGER_MS = 2000;

/** Executes deliveries: advances a run, or executes one step of it. The rows are the truth; the reply is advice. */
@Injectable()
export class DeliveryExecutor {
  readonly #inFlight = new Map<string, Promise<DeliveryReply>>();
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
  ) {}

  /** A run that was inserted already leased: nothing needs to be read to start on it. */
  prepare(lease: Lease, loaded: Loaded): void {
    this.runs.prepare(lease, loaded);
  }

  /** Its lease is over. */
  forget(lease: Lease): void {
    this.runs.forget(lease);
  }

  async execute(delivery: Delivery, mode: DeliveryMode): Promise<DeliveryReply> {
    if (mode.guarded) this.#askedAt = this.clock.elapsed();
    if (this.#draining) throw new WorkflowError('WF_SHUTTING_DOWN', 'This process is shutting down');
    const { workflow, version } = delivery;
    const definition = this.registry.get(workflow, version);
    if (!definition) {
      throw new WorkflowError(
        'WF_NOT_SERVED',
        `Workflow ${versionName(workflow, version)} is not served here`,
      );
    }
    const id = `${delivery.taskId}/${delivery.fence}`;
    // the dispatcher never delivers a task twice at a time: this is a copy made on the way
    if (this.#inFlight.has(id)) return { next: 'stale' };
    const lease = { taskId: delivery.taskId, fence: delivery.fence };
    let adopted = false;
    const work = this.#work(delivery, definition, mode, () => adopted).finally(() => {
      this.#inFlight.delete(id);
      this.leases.executed(lease);
      if (adopted) this.leases.forget(lease);
    });
    this.#inFlight.set(id, work);
    if (!mode.guarded) return work;
    return this.#orAdopt(work, lease, () => (adopted = true));
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
    await within(this.clock, graceMs, Promise.allSettled(this.#inFlight.values()));
    if (this.#inFlight.size > 0) {
      this.steps.abortAll(new Error('This process is shutting down'));
      // a database that is away must not keep the process from ending: what was not stored is repeated elsewhere
      this.writer.giveUp();
      await Promise.allSettled(this.#inFlight.values());
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

  async #work(
    delivery: Delivery,
    definition: WorkflowDefinition,
    mode: DeliveryMode,
    adopted: () => boolean,
  ): Promise<DeliveryReply> {
    const { probe } = this;
    const detail = { runId: delivery.runId, ...(delivery.step !== undefined && { step: delivery.step }) };
    if (probe) await probe.at('delivery-received', detail);
    const reply = await (delivery.step === undefined
      ? this.runs.advance(delivery, definition, mode, adopted)
      : this.singleSteps.execute(delivery, delivery.step, definition));
    if (probe) await probe.at('reply-sent', detail);
    return reply;
  }

  /** A long step outlives its dispatcher: after one heartbeat this process takes the lease over and answers. */
  async #orAdopt(
    work: Promise<DeliveryReply>,
    lease: { taskId: string; fence: number },
    onAdopted: () => void,
  ): Promise<DeliveryReply> {
    const first = await within(this.clock, this.config.heartbeatMs, work);
    if (first !== 'late') return first;
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
