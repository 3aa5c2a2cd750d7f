import { Injectable, Optional } from '@nestjs/common';
import {
  Probe,
  RunStore,
  type Delivery,
  type DeliveryReply,
  type Lease,
  type Loaded,
} from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import type { Activation } from './activation.js';
import { Aftermath } from './aftermath.js';
import { ActivationCache } from './activation-cache.js';
import { ActivationFactory } from './activation-factory.js';
import type { ActivationEnd, Next } from './activation.types.js';
import type { DeliveryMode } from './delivery-mode.js';
import { Inspector } from './inspector.js';
import { isFor } from './is-for.js';
import { JournalWriter } from './journal-writer.js';
import { keyOf, Leases } from './leases.js';
import { LeftSteps } from './left-steps.js';
import { LocalEnds } from './local-ends.js';
import { Signals } from './signals.js';

/** How a parked run was left: under which lease, in which life of this process, and what it was loaded with. */
interface Standing {
  readonly lease: Lease;
  readonly life: number;
  readonly loaded: Loaded;
}

type Waiting = Extract<ActivationEnd, { next: 'waiting' }>;

/** Deliveries that advance a run: from the load under the lease to the reply. */
@Injectable()
export class RunDeliveries {
  /** what was known of runs when they were inserted, by lease */
  readonly #fresh = new Map<string, Loaded>();
  /** what is known of parked runs, which go on under the lease they have */
  readonly #standing = new WeakMap<Activation, Standing>();

  constructor(
    private readonly store: RunStore,
    private readonly writer: JournalWriter,
    private readonly factory: ActivationFactory,
    private readonly cache: ActivationCache,
    private readonly leases: Leases,
    private readonly signals: Signals,
    private readonly aftermath: Aftermath,
    private readonly left: LeftSteps,
    private readonly ends: LocalEnds,
    @Optional() private readonly probe?: Probe,
    @Optional() private readonly inspector?: Inspector,
  ) {}

  /** What is known of a run that was inserted already leased. */
  prepare(lease: Lease, loaded: Loaded): void {
    this.#fresh.set(keyOf(lease), loaded);
  }

  forget(lease: Lease): void {
    this.#fresh.delete(keyOf(lease));
  }

  /** @param adopted true once this process has taken over the lease */
  async advance(
    delivery: Delivery,
    definition: WorkflowDefinition,
    mode: DeliveryMode,
    adopted: () => boolean,
  ): Promise<DeliveryReply> {
    const { runId, taskId, fence } = delivery;
    const lease = { taskId, fence };
    const { life } = this.leases;
    const parked = this.cache.take(runId);
    let end: ActivationEnd | undefined;
    let activation: Activation | undefined;
    let reply: DeliveryReply;
    let left: Promise<void> | undefined;
    try {
      const known = this.#known(delivery, mode, lease, parked);
      const loaded = known ?? (await this.writer.load({ taskId, fence, position: parked?.position ?? 0 }));
      if (!loaded || !isFor(loaded, delivery)) return { next: 'stale' };
      if (mode.guarded && loaded.turn !== delivery.seq) return { next: 'stale' };
      if (this.probe) await this.probe.at('loaded', { runId });
      this.leases.executing(lease, loaded.header.execution, life);
      const made = this.#goOn(loaded, parked) ?? this.#replayed(definition, loaded, parked, lease);
      const resumed = made instanceof Promise ? await made : made;
      if (!resumed) return { next: 'stale' };
      activation = resumed;
      const reached = await activation.advance({
        lease,
        budget: mode.budget,
        guarded: mode.guarded,
        adopted,
      });
      if (this.probe && reached.next === 'finished') await this.probe.at('ended', { runId });
      if (this.inspector && reached.next !== 'lost') await this.inspector.advanced(activation);
      if (reached.next === 'waiting' && reached.left.length > 0)
        left = this.left.finish(reached.left, loaded.header, activation.time(), life);
      reply =
        reached.next === 'waiting'
          ? await this.#wait(reached, activation, lease)
          : this.#reply(reached, activation);
      if (reached.next === 'continue') this.#standing.set(activation, { lease, life, loaded });
      end = reached;
    } finally {
      activation?.abandon(lease);
      if (activation?.header.child && end?.next !== 'continue') this.ends.gone(activation.header.execution);
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
    return left ? this.#after(left, reply) : reply;
  }

  /** Under way until the last one is answered, so that a shutdown waits for it; that the run waits is known at once. */
  async #after(left: Promise<void>, reply: DeliveryReply): Promise<DeliveryReply> {
    if (reply.next === 'waiting' && reply.dueInMs !== undefined) this.signals.noteDue(reply.dueInMs);
    await left;
    return { next: 'waiting' };
  }

  /**
   * What a load would read, where that is surely known. A run that was inserted here, or parked after a commit under this very lease,
   * goes on as an activation does from one step to the next in-process: nobody else can write under the lease, what arrives
   * meanwhile raises `wanted`, which the commit that suspends compares, and that commit is refused where the lease is gone after all.
   *
   * Only of a delivery from here: one that came through others may be the second copy, of which the first has been executed
   * elsewhere, and its step journaled. Only the rows know.
   */
  #known(
    delivery: Delivery,
    mode: DeliveryMode,
    lease: Lease,
    parked: Activation | undefined,
  ): Loaded | undefined {
    const fresh = this.#fresh.get(keyOf(lease));
    this.#fresh.delete(keyOf(lease));
    const standing = parked && this.#standing.get(parked);
    if (parked) this.#standing.delete(parked);
    if (mode.guarded && (!mode.fromHere || !this.leases.has(lease))) return undefined;
    const known = fresh ?? (mode.guarded && standing ? this.#goingOn(parked!, standing, lease) : undefined);
    // by whichever way: the ones before it may have gone to other processes, and this one has seen nothing of that
    return known && known.turn === delivery.seq && isFor(known, delivery) ? known : undefined;
  }

  #goingOn(parked: Activation, { lease, life, loaded }: Standing, now: Lease): Loaded | undefined {
    const same = lease.taskId === now.taskId && lease.fence === now.fence && life === this.leases.life;
    // code that has asked late is given time, which grows in the row
    if (!same || loaded.gather > 0) return undefined;
    return { ...loaded, rows: [], inbox: [], turn: parked.turn, now: parked.time() };
  }

  /** The parked code when it can go on. */
  #goOn(loaded: Loaded, parked: Activation | undefined): Activation | undefined {
    if (!parked?.fits(loaded)) return undefined;
    parked.refresh(loaded);
    return parked;
  }

  /** Null: the lease is lost. */
  #replayed(
    definition: WorkflowDefinition,
    loaded: Loaded,
    parked: Activation | undefined,
    lease: Lease,
  ): Activation | Promise<Activation | null> {
    return parked
      ? this.#replayInstead(parked, definition, loaded, lease)
      : this.factory.make(definition, loaded);
  }

  async #replayInstead(
    parked: Activation,
    definition: WorkflowDefinition,
    loaded: Loaded,
    lease: Lease,
  ): Promise<Activation | null> {
    this.cache.drop(loaded.header.runId, parked);
    const whole = parked.position === 0 ? loaded : await this.writer.load({ ...lease, position: 0 });
    return whole && this.factory.make(definition, whole);
  }

  #reply(end: Exclude<ActivationEnd, Waiting>, activation: Activation): DeliveryReply {
    switch (end.next) {
      case 'continue':
        return { next: 'continue', seq: activation.turn };
      case 'finished':
        this.#announce(activation.header.runId, end.how);
        if (end.how.to === 'continued') this.signals.announceDue();
        this.#owed(activation, end.how);
        return { next: 'finished' };
      case 'lost':
        return { next: 'stale' };
    }
  }

  /**
   * The wait is committed: now look for events that were kept before it (notify does the two in the other order), and only
   * then give the lease back.
   */
  async #wait(
    { waits, dispatched, dueAt }: Waiting,
    activation: Activation,
    lease: Lease,
  ): Promise<DeliveryReply> {
    const { execution } = activation.header;
    const kept = waits.length > 0 && (await this.store.collectKept(execution, waits, lease));
    if (kept || (dispatched > 0 && hasTasks(activation))) this.signals.announceDue();
    return dueAt === null
      ? { next: 'waiting' }
      : { next: 'waiting', dueInMs: Math.max(0, dueAt - activation.time()) };
  }

  #owed({ header: { child, singleton }, isTold }: Activation, how: Next): void {
    if (how.to === 'cancelled') return this.aftermath.settle();
    if (child && !isTold && how.to !== 'continued') this.aftermath.report();
    if (singleton != null) this.aftermath.handOver(singleton);
  }

  #announce(runId: string, how: Next): void {
    // before the others hear of it: who asks from now on has to read
    this.signals.leave(runId);
    if (how.to === 'completed')
      this.signals.announceEnd({ runId, status: 'completed', result: how.result, error: null });
    else if (how.to === 'failed')
      this.signals.announceEnd({ runId, status: 'failed', result: null, error: how.error });
    else this.signals.announceEnded();
  }
}

/** Something waits to be claimed: a child is none of it, it was started or announced by itself. */
const hasTasks = ({ journal, standing }: Activation): boolean =>
  standing.open.some(({ key }) => {
    const row = journal.get(key);
    return row?.dispatched === true && row.kind !== 'invoke';
  });
