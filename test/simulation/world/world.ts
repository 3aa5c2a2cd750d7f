import { RuntimeConfig } from '../../../lib/runtime/config.js';
import type { Clock } from '../../../lib/ports/index.js';
import { resolveConfig } from '../../../lib/workflow.config.js';
import { History } from '../check/history.js';
import { MemoryRunStore } from '../memory/memory-run-store.js';
import { Dice } from './dice.js';
import { CALM, Network, type Weather } from './network.js';
import { SimulatedProcess } from './process.js';
import { RecordingTables } from './recording-tables.js';
import { VirtualTime } from './virtual-time.js';

/** What one process sees of the database: each statement goes through the network. */
export class SimulatedStore extends MemoryRunStore {
  constructor(
    protected readonly world: World,
    protected readonly process: SimulatedProcess,
    clock: Clock,
  ) {
    super(world.tables, clock, () => world.time.now);
  }

  protected override send<R>(statement: string, work: () => R): Promise<R> {
    return this.world.network.statement(this.process, statement, work);
  }
}

export type StoreClass = new (world: World, process: SimulatedProcess, clock: Clock) => MemoryRunStore;

/** A database, processes, what is between them, and one time for all, drawn from a seed. */
export class World {
  readonly dice: Dice;
  readonly time: VirtualTime;
  readonly history: History;
  readonly tables: RecordingTables;
  readonly network: Network;
  readonly processes: SimulatedProcess[] = [];
  /** how often each call was made, by its idempotency key: the memory of the other side */
  readonly calls = new Map<string, number>();
  readonly faults = new Map<string, number>();
  readonly transport: 'http' | 'in-process';
  readonly graceMs: number;
  weather: Weather = CALM;
  #tokens = 0;
  #names = 0;
  readonly #settings: { concurrency: number; stepsPerCall: number; parkLimit: number; sideSteps: boolean };

  constructor(
    seed: number,
    private readonly storeClass: StoreClass = SimulatedStore,
  ) {
    this.dice = new Dice(seed);
    this.time = new VirtualTime(this.dice.fork());
    this.history = new History(() => this.time.now);
    this.tables = new RecordingTables(this.history);
    this.network = new Network(this, this.dice.fork());
    this.transport = this.dice.happens(0.6) ? 'http' : 'in-process';
    this.graceMs = this.dice.int(0, 5000);
    this.#settings = {
      concurrency: this.dice.pick([1, 3, 20]),
      stepsPerCall: this.dice.pick([1, 1, 3]),
      parkLimit: this.dice.pick([0, 2, 1000]),
      // no throw of the dice: the worlds of known seeds stay as they are
      sideSteps: seed % 4 !== 0,
    };
  }

  config(worker: boolean): RuntimeConfig {
    const { concurrency, stepsPerCall, ...overrides } = this.#settings;
    return resolveConfig({ worker: worker ? { concurrency } : false, http: { stepsPerCall } }, overrides);
  }

  newStore(process: SimulatedProcess, clock: Clock): MemoryRunStore {
    return new this.storeClass(this, process, clock);
  }

  /** Where the database executes a statement. */
  execute<R>(from: SimulatedProcess, work: () => R): R {
    this.tables.by = from.name;
    return work();
  }

  token(): string {
    return `t${++this.#tokens}`;
  }

  fault(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
  }

  note(what: string): void {
    this.history.add('world', { is: 'world', what });
  }

  /** Processes that the load balancer knows: also one that has just died. */
  get servers(): SimulatedProcess[] {
    return this.processes.filter(({ serves }) => serves);
  }

  /** A new process; one that cannot start dies, and another takes its place. */
  boot(worker = true): SimulatedProcess {
    const process = new SimulatedProcess(
      this,
      `${worker ? 'p' : 'c'}${++this.#names}`,
      this.dice.fork(),
      worker,
    );
    this.processes.push(process);
    this.note(`${process.name} starts`);
    this.time.after(process, 0, () => {
      process.start().catch(() => {
        this.crash(process, 'cannot start');
        this.time.after(null, 500, () => this.boot(worker));
      });
    });
    return process;
  }

  /** It dies, and another takes its place after a while. */
  kill(process: SimulatedProcess, awayMs: number): void {
    this.fault('crash');
    this.crash(process);
    this.time.after(null, awayMs, () => this.boot(process.worker));
  }

  /** It stands still, often for longer than its leases hold, and goes on as if nothing had been. */
  stall(process: SimulatedProcess, dice: Dice): void {
    const ms = dice.happens(0.5) ? dice.between(9000, 40_000) : dice.skewed(500, 12_000);
    this.fault('pause');
    this.note(`${process.name} stands still for ${Math.round(ms)} ms`);
    process.standsUntil = Math.max(process.standsUntil, this.time.now + ms);
  }

  crash(process: SimulatedProcess, why = 'crashes'): void {
    this.note(`${process.name} ${why}`);
    process.die();
    this.processes.splice(this.processes.indexOf(process), 1);
  }
}
