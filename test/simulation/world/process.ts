import type { Type } from '@nestjs/common';
import { WorkflowClient, WorkflowCommands } from '../../../lib/client/index.js';
import { DevalueCodec } from '../../../lib/codec/devalue.codec.js';
import type { WorkflowHandler } from '../../../lib/authoring/index.js';
import { InProcessTransport } from '../../../lib/http/index.js';
import {
  CallPerformer,
  Chance,
  Clock,
  Codec,
  RunEffects,
  RunIntake,
  RunStore,
  ScheduleStore,
  SignalChannel,
  Transport,
  WebhookUrls,
  type Delivery,
  type DeliveryReply,
  type Signal,
} from '../../../lib/ports/index.js';
import { resolveRetry } from '../../../lib/engine/retry.js';
import { WorkflowRegistry } from '../../../lib/registry/index.js';
import { CallTasks } from '../../../lib/runtime/call-tasks.js';
import { RuntimeConfig } from '../../../lib/runtime/config.js';
import { DeliveryExecutor } from '../../../lib/runtime/delivery-executor.js';
import { LocalDeliveries, RemoteDeliveries } from '../../../lib/runtime/delivery-handlers.js';
import { ExternalCalls } from '../../../lib/runtime/external-calls.js';
import { TaskIntake } from '../../../lib/runtime/intake.js';
import { Leases } from '../../../lib/runtime/leases.js';
import { WorkflowScheduler } from '../../../lib/runtime/scheduler.js';
import { Signals } from '../../../lib/runtime/signals.js';
import { within } from '../../../lib/runtime/within.js';
import { ProgramWorkflow, type CodeEntry, type Host } from '../workload/interpreter.js';
import { SimulatedCalls } from './calls.js';
import type { Dice } from './dice.js';
import type { Actor } from './virtual-time.js';
import { Wiring } from './wiring.js';
import type { World } from './world.js';

/** Time as one process sees it. */
class ProcessClock extends Clock {
  constructor(
    private readonly world: World,
    private readonly process: Actor,
  ) {
    super();
  }

  sqlNow(): null {
    return null;
  }

  elapsed(): number {
    return this.world.time.now;
  }

  after(ms: number, callback: () => void): () => void {
    return this.world.time.after(this.process, ms, callback);
  }
}

class ProcessSignals extends SignalChannel {
  heard: (signals: readonly Signal[]) => void = () => {};

  constructor(
    private readonly world: World,
    private readonly process: SimulatedProcess,
  ) {
    super();
  }

  async send(signals: readonly Signal[]): Promise<void> {
    this.world.network.signal(this.process, signals);
  }

  async listen(onSignals: (signals: readonly Signal[]) => void): Promise<() => Promise<void>> {
    this.heard = onSignals;
    return async () => {
      this.heard = () => {};
    };
  }
}

class SimulatedTransport extends Transport {
  readonly kind = 'http';

  constructor(
    private readonly world: World,
    private readonly process: SimulatedProcess,
  ) {
    super();
  }

  deliver(delivery: Delivery): Promise<DeliveryReply> {
    return this.world.network.deliver(this.process, delivery);
  }
}

/**
 * One process: the runtime of the library as it is, over a store, a clock and a transport of this world. Once it is dead, nothing of it
 * happens any more: no timer, no microtask (each follows an event of the process), no answer that comes in.
 */
export class SimulatedProcess implements Actor, Host {
  alive = true;
  standsUntil = 0;
  /** false: it only triggers, sends and asks */
  readonly worker: boolean;
  readonly deliveries: RemoteDeliveries;
  readonly #wiring: Wiring;
  readonly #signals: ProcessSignals;
  readonly #dead = new Set<() => void>();
  readonly #clock: ProcessClock;
  #started = false;
  #leaving = false;

  constructor(
    private readonly world: World,
    readonly name: string,
    dice: Dice,
    worker: boolean,
  ) {
    this.worker = worker;
    this.#clock = new ProcessClock(world, this);
    this.#signals = new ProcessSignals(world, this);
    const registry = new WorkflowRegistry();
    const handler = new ProgramWorkflow(this);
    registry.add({
      name: 'program',
      version: null,
      takesOver: [],
      type: ProgramWorkflow as Type<WorkflowHandler<any, any>>,
      retry: resolveRetry({ retries: 2, backoff: { initial: '300ms' } }),
      stepDefaults: {},
      timeoutMs: null,
      onFailure: null,
      schedules: [],
      verifiers: new Map() as never,
      instance: async () => handler,
    });
    const codec = new DevalueCodec({ maxBytes: 1024 * 1024 });
    this.#wiring = new Wiring([
      [RuntimeConfig, { value: world.config(worker) }],
      [Clock, { value: this.#clock }],
      [Chance, { value: dice }],
      [Codec, { value: codec }],
      [RunStore, { value: world.newStore(this, this.#clock) }],
      [ScheduleStore, { value: {} }],
      [SignalChannel, { value: this.#signals }],
      [WorkflowRegistry, { value: registry }],
      [RunIntake, { type: TaskIntake }],
      [RunEffects, { type: WorkflowCommands }],
      [CallTasks, { type: ExternalCalls }],
      [CallPerformer, { value: new SimulatedCalls(world, this, dice) }],
      [WebhookUrls, { value: { urlOf: () => 'https://hooks.test' } }],
    ]);
    this.#wiring.get(RunIntake);
    this.deliveries = this.#wiring.get(RemoteDeliveries);
  }

  get client(): WorkflowClient {
    return this.#wiring.get(WorkflowClient);
  }
  get commands(): WorkflowCommands {
    // one of them: what runs do goes through the same
    return this.#wiring.get(RunEffects) as WorkflowCommands;
  }

  /** It takes part: as Nest's lifecycle starts it. */
  async start(): Promise<void> {
    await this.#wiring.get(Leases).start();
    await this.#wiring.get(Signals).start();
    this.#started = true;
    if (!this.worker) return;
    const http = this.world.transport === 'http';
    const transport = http
      ? new SimulatedTransport(this.world, this)
      : new InProcessTransport(this.#wiring.get(LocalDeliveries));
    this.#wiring.get(WorkflowScheduler).start(transport);
  }

  /** True once deliveries find it. */
  get serves(): boolean {
    return this.alive && this.worker && this.#started;
  }

  /** True once people may ask it something. */
  get ready(): boolean {
    return this.alive && this.#started;
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  /** It goes in good order: as Nest's lifecycle drains it. */
  async leave(): Promise<void> {
    this.#leaving = true;
    const scheduler = this.#wiring.get(WorkflowScheduler);
    scheduler.stop();
    await within(this.#clock, this.world.graceMs, scheduler.idle());
    this.#wiring.get(CallTasks).cutOff();
    await this.#wiring.get(DeliveryExecutor).drain(this.world.graceMs);
    await within(this.#clock, 2000, scheduler.quiet());
    await this.#wiring.get(Signals).stop();
    await this.#wiring.get(Leases).stop();
    this.die();
  }

  die(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const tell of this.#dead) tell();
    this.#dead.clear();
  }

  onDeath(tell: () => void): () => void {
    this.#dead.add(tell);
    return () => this.#dead.delete(tell);
  }

  hear(signals: readonly Signal[]): void {
    this.#signals.heard(signals);
  }

  pause(ms: number): Promise<void> {
    return this.#clock.pause(ms);
  }

  token(): string {
    return this.world.token();
  }

  record(entry: CodeEntry): void {
    this.world.history.add(this.name, entry);
  }
}
