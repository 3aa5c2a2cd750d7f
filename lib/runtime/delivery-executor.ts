import { Inject, Injectable, Optional } from '@nestjs/common';
import { WorkflowError } from '../errors/index.js';
import {
  Clock,
  Codec,
  Probe,
  RunStore,
  type Delivery,
  type DeliveryReply,
  type Lease,
  type Loaded,
} from '../ports/index.js';
import { WorkflowRegistry, type WorkflowDefinition } from '../registry/index.js';
import { pendingRow } from '../engine/plan.js';
import { NonRetryableError } from '../engine/errors.js';
import { encodeFailure, toFailure } from '../engine/failure.js';
import { workerLost } from '../engine/transition.js';
import type { Activation } from './activation.js';
import type { ActivationEnd } from './activation.types.js';
import { ActivationCache } from './activation-cache.js';
import { ActivationFactory } from './activation-factory.js';
import { RuntimeConfig } from './config.js';
import { Inspector } from './inspector.js';
import { JournalWriter } from './journal-writer.js';
import { Leases } from './leases.js';
import { Signals } from './signals.js';
import { stepRow } from './step-row.js';
import { StepRunner } from './step-runner.js';

/** By which way a delivery came: what it may do, and what it must be protected against. */
export interface DeliveryMode {
  /** steps one delivery may execute */
  readonly budget: number;
  /** the network may bring a delivery twice */
  readonly guarded: boolean;
}

/** Everything beyond the position a load asks for: none of the journaled rows. */
const NO_ROWS = 2 ** 31 - 1;

/** Executes deliveries: advances a run, or executes one step of it. The rows are the truth; the reply is advice. */
@Injectable()
export class DeliveryExecutor {
  readonly #inFlight = new Map<string, Promise<DeliveryReply>>();
  readonly #fresh = new Map<string, Loaded>();
  #draining = false;

  constructor(
    private readonly registry: WorkflowRegistry,
    private readonly store: RunStore,
    private readonly writer: JournalWriter,
    private readonly factory: ActivationFactory,
    private readonly cache: ActivationCache,
    private readonly steps: StepRunner,
    private readonly leases: Leases,
    private readonly signals: Signals,
    private readonly codec: Codec,
    private readonly clock: Clock,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
    @Optional() private readonly probe?: Probe,
    @Optional() private readonly inspector?: Inspector,
  ) {}

  /** A run that was inserted already leased: nothing needs to be read to start on it. */
  prepare(taskId: string, loaded: Loaded): void {
    this.#fresh.set(taskId, loaded);
  }

  async execute(delivery: Delivery, mode: DeliveryMode): Promise<DeliveryReply> {
    if (this.#draining) throw new WorkflowError('WF_SHUTTING_DOWN', 'This process is shutting down');
    const definition = this.registry.get(delivery.workflow);
    if (!definition || definition.version !== delivery.version) {
      const version = delivery.version === null ? '' : ` in version ${delivery.version}`;
      throw new WorkflowError(
        'WF_NOT_SERVED',
        `Workflow "${delivery.workflow}"${version} is not served here`,
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

  /** Refuses what comes from now on, and waits for what is under way. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const all = Promise.allSettled(this.#inFlight.values());
    let callOff = (): void => {};
    const patience = new Promise<void>((resolve) => {
      callOff = this.clock.after(graceMs, resolve);
    });
    await Promise.race([all, patience]);
    callOff();
    if (this.#inFlight.size > 0) {
      this.steps.abortAll(new Error('This process is shutting down'));
      // a database that is away must not keep the process from ending: what was not stored is repeated elsewhere
      this.writer.giveUp();
      await Promise.allSettled(this.#inFlight.values());
    }
    this.cache.clear();
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
      ? this.#advance(delivery, definition, mode, adopted)
      : this.#step(delivery, delivery.step, definition));
    if (probe) await probe.at('reply-sent', detail);
    return reply;
  }

  /** A long step outlives its dispatcher: after one heartbeat this process takes the lease over and answers. */
  async #orAdopt(
    work: Promise<DeliveryReply>,
    lease: { taskId: string; fence: number },
    onAdopted: () => void,
  ): Promise<DeliveryReply> {
    let callOff = (): void => {};
    const long = new Promise<'long'>((resolve) => {
      callOff = this.clock.after(this.config.heartbeatMs, () => resolve('long'));
    });
    const first = await Promise.race([work, long]).finally(() => callOff());
    if (first !== 'long') return first;
    const taken = await this.leases.adopt(lease).catch(() => false);
    if (!taken) return work;
    onAdopted();
    work.then(
      () => this.signals.announceDue(),
      () => this.store.release([lease], 1000).catch(() => {}),
    );
    return { next: 'adopted' };
  }

  async #advance(
    delivery: Delivery,
    definition: WorkflowDefinition,
    mode: DeliveryMode,
    adopted: () => boolean,
  ): Promise<DeliveryReply> {
    const { runId, taskId, fence } = delivery;
    const lease = { taskId, fence };
    const parked = this.cache.take(runId);
    let end: ActivationEnd | undefined;
    let activation: Activation | undefined;
    try {
      const fresh = this.#fresh.get(taskId);
      this.#fresh.delete(taskId);
      const loaded = fresh ?? (await this.writer.load({ taskId, fence, position: parked?.position ?? 0 }));
      if (!loaded) return { next: 'stale' };
      if (mode.guarded && loaded.turn !== delivery.seq) return { next: 'stale' };
      if (this.probe) await this.probe.at('loaded', { runId });
      this.leases.executing(lease, loaded.header.execution);
      activation = await this.#resume(definition, loaded, parked, delivery);
      const reached = await activation.advance({
        lease,
        budget: mode.budget,
        guarded: mode.guarded,
        adopted,
      });
      if (this.inspector && reached.next !== 'lost') await this.inspector.advanced(activation);
      const reply = await this.#reply(reached, activation, lease);
      end = reached;
      return reply;
    } finally {
      // what is parked must equal what is durable: after any doubt the code starts over from the journal
      const known = activation ?? parked;
      if (activation && end && (end.next === 'continue' || (end.next === 'waiting' && end.dispatched > 0))) {
        this.cache.park(runId, activation);
      } else if (known) {
        this.cache.drop(runId, known);
        // asked from now on, a step would never be executed: the run has to be looked at again
        if (end?.next === 'waiting') known.close();
      }
    }
  }

  /** The parked code when it belongs to this very execution and has missed nothing; otherwise a new replay. */
  async #resume(
    definition: WorkflowDefinition,
    loaded: Loaded,
    parked: Activation | undefined,
    delivery: Delivery,
  ): Promise<Activation> {
    if (
      parked?.header.execution === loaded.header.execution &&
      parked.header.attempt === loaded.header.attempt
    ) {
      parked.refresh(loaded);
      return parked;
    }
    if (!parked || parked.position === 0) return this.factory.make(definition, loaded);
    parked.close();
    const whole = await this.writer.load({ taskId: delivery.taskId, fence: delivery.fence, position: 0 });
    return this.factory.make(definition, whole ?? loaded);
  }

  async #reply(end: ActivationEnd, activation: Activation, lease: Lease): Promise<DeliveryReply> {
    switch (end.next) {
      case 'continue':
        return { next: 'continue', seq: activation.turn };
      case 'finished':
        this.signals.announceEnded();
        return { next: 'finished' };
      case 'lost':
        return { next: 'stale' };
      case 'waiting': {
        // the wait is committed: now look for events that were kept before it (notify does the two in the other order), and
        // only then give the lease back
        const { execution } = activation.header;
        const kept = end.waits.length > 0 && (await this.store.collectKept(execution, end.waits, lease));
        if (kept || end.dispatched > 0) this.signals.announceDue();
        return end.dueAt === null
          ? { next: 'waiting' }
          : { next: 'waiting', dueInMs: Math.max(0, end.dueAt - activation.time()) };
      }
    }
  }

  async #step(delivery: Delivery, key: string, definition: WorkflowDefinition): Promise<DeliveryReply> {
    const { runId, taskId, fence } = delivery;
    const lease = { taskId, fence };
    let activation = this.cache.peek(runId);
    const known = activation?.find(key) !== undefined;
    const loaded = await this.writer.load({ taskId, fence, position: known ? NO_ROWS : 0 });
    if (!loaded) return { next: 'stale' };
    if (!known || activation?.header.execution !== loaded.header.execution) {
      activation = await this.cache.build(runId, () => this.#replayed(definition, loaded));
    }
    const found = activation.find(key);
    if (!found && activation.isAbandoned(key)) return this.#abandon(lease, loaded, key);
    if (!found) {
      throw new WorkflowError(
        'WF_NON_DETERMINISM',
        `Step "${key}" of run ${runId} is recorded, but the code does not ask for it`,
      );
    }
    const { header } = loaded;
    this.leases.executing(lease, header.execution);
    const before = loaded.rows.find((row) => row.key === key) ?? pendingRow(found.ask, loaded.now);
    const attempt = before.attempts + 1;
    const started = this.clock.sqlElapsed();
    const outcome =
      loaded.lost >= this.config.maxLosses
        ? {
            ok: false as const,
            error: new NonRetryableError(workerLost(`Step "${key}"`, loaded.lost).message),
          }
        : await this.steps.run(found.session, found.ask, attempt, header, lease);
    if (outcome === 'abandoned') return { next: 'stale' };
    if (this.probe) await this.probe.at('step-executed', { runId, step: key });
    const now = loaded.now + (this.clock.sqlElapsed() - started);
    const { row, retryAt } = stepRow({
      before,
      outcome,
      attempt,
      ask: found.ask,
      codec: this.codec,
      now,
      random: Math.random(),
    });
    if (this.probe) await this.probe.at('answer-sent', { runId, step: key });
    const result = await this.writer.answer({ ...lease, execution: header.execution, row, retryAt });
    if (this.probe) await this.probe.at('answer-durable', { runId, step: key });
    if (result === 'lost') return { next: 'stale' };
    if (retryAt !== null) return { next: 'waiting', dueInMs: retryAt - now };
    this.signals.announceDue();
    return { next: 'done' };
  }

  /** The run has failed and handles its failure: a step that `run` had asked for is not executed any more. */
  async #abandon(lease: Lease, loaded: Loaded, key: string): Promise<DeliveryReply> {
    const before = loaded.rows.find((row) => row.key === key);
    if (!before) return { next: 'stale' };
    const failure = encodeFailure(
      toFailure(new NonRetryableError('The run failed before this step was executed')),
    );
    const row = { ...before, answer: { ok: false as const, failure }, finishedAt: loaded.now };
    const { execution } = loaded.header;
    const result = await this.writer.answer({ ...lease, execution, row, retryAt: null });
    return { next: result === 'lost' ? 'stale' : 'done' };
  }

  async #replayed(definition: WorkflowDefinition, loaded: Loaded): Promise<Activation> {
    const activation = await this.factory.make(definition, loaded);
    await activation.replayOnly();
    this.cache.park(loaded.header.runId, activation);
    return activation;
  }
}
