/** One run of one workload: a new database, the processes of a peer in one of its modes, and what it used. */
import { setTimeout as pause } from 'node:timers/promises';
import type { BenchCluster } from './cluster.js';
import { BenchDatabase, type Snapshot, type TopStatement } from './database.js';
import { CORES, cpuOf, cpuOfCluster, cpuOfMachine, msSince, now } from './machine.js';
import type { Mode, Peer, Server } from './peer.types.js';
import { round } from './statistics.js';
import { WorkerProcess } from './worker-process.js';

const DURABLE_MS = 15_000;

/** One peer in one mode, ready to be started. */
export interface Target {
  readonly peer: Peer;
  /** path of its module */
  readonly module: string;
  readonly mode: Mode;
  /** path of the Node that it needs */
  readonly node: string;
}

/** What was used between `begin` and `end`. */
export interface Usage {
  readonly cpu: Readonly<Record<'wallS' | 'worker' | 'client' | 'server' | 'pg' | 'foreign', number>>;
  readonly foreignPct: number;
  /** for one run of a workflow, or for whatever was counted */
  readonly per: Readonly<Record<string, number | undefined>>;
  readonly top: readonly TopStatement[];
}

interface CpuTimes {
  readonly worker: number;
  readonly client: number;
  readonly server: number;
  readonly pg: number;
  readonly machine: number;
  readonly self: number;
  readonly at: number;
}

export class Environment {
  readonly workers: WorkerProcess[] = [];
  client!: WorkerProcess;
  database!: BenchDatabase;
  #server: Server | undefined;
  #after: string | undefined;
  #began!: { readonly cpu: CpuTimes; readonly counted: Snapshot };

  constructor(
    readonly cluster: BenchCluster,
    readonly target: Target,
  ) {}

  get mode(): Mode {
    return this.target.mode;
  }

  get serverPids(): readonly number[] {
    return this.#server?.pids ?? [];
  }

  async setup(): Promise<void> {
    const { peer, mode } = this.target;
    this.database = await BenchDatabase.create(this.cluster, `bench_${peer.name.replace(/\W/g, '_')}`);
    const { url, name, client } = this.database;
    this.#server = await peer.setup?.({ url, mode, db: name, c: client });
  }

  async addWorker(): Promise<WorkerProcess> {
    const { peer, mode } = this.target;
    const index = this.workers.length;
    const worker = await this.#start(mode.embedded ? 'both' : 'worker', index);
    this.workers.push(worker);
    if (mode.embedded && index === 0) this.client = worker;
    await peer.afterWorker?.({ mode, index });
    return worker;
  }

  /** A worker, a client, and both have done something. */
  async begun(): Promise<void> {
    await this.addWorker();
    await this.addClient();
    await this.warm();
  }

  async addClient(): Promise<void> {
    if (!this.mode.embedded) this.client = await this.#start('client', 0);
  }

  /** As after a deploy: the next worker is a new process. */
  async stopWorkers(): Promise<void> {
    for (const worker of this.workers.splice(0)) await worker.stop();
  }

  get done(): number {
    return this.workers.reduce((sum, { done }) => sum + done, 0);
  }

  get waiting(): number {
    return this.workers.reduce((sum, { waiting }) => sum + waiting, 0);
  }

  async durable(): Promise<number | undefined> {
    if (this.mode.ownDatabase) return this.client.ask('completed', {});
    const { done } = this;
    return this.target.peer.doneCount?.(this.database.client, {
      done,
      ...(this.#after !== undefined && { after: this.#after }),
    });
  }

  /** From now on `durable` counts only runs behind this one, where the peer can do that. */
  countAfter(id: string): void {
    this.#after = id;
  }

  /** False when it did not come in time. */
  async until(isSo: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
    for (const begun = now(); !(await isSo()); await pause(5)) if (msSince(begun) > limitMs) return false;
    return true;
  }

  /** So many bodies have ended, and then the peer's own tables say that so many runs are completed. */
  async untilDone(bodies: number, durable: number | undefined, limitMs: number): Promise<boolean> {
    if (!(await this.until(() => this.done >= bodies, limitMs))) return false;
    if (durable === undefined) return true;
    return this.until(async () => ((await this.durable()) ?? durable) >= durable, DURABLE_MS);
  }

  async warm(n = 60): Promise<void> {
    const [done, durable] = [this.done, await this.durable()];
    const prefix = `warm-${Math.random().toString(36).slice(2, 7)}-`;
    await this.client.ask('startMany', { wf: 'seq', input: { n: 3 }, n, prefix, conc: 20, budgetMs: 20_000 });
    const isDone = await this.untilDone(done + n, durable === undefined ? undefined : durable + n, 40_000);
    if (!isDone) throw new Error(`The warm-up did not end: ${this.done - done} of ${n}`);
  }

  async begin(): Promise<void> {
    await this.database.reset();
    this.#began = { counted: await this.database.snapshot(), cpu: this.#cpu() };
  }

  /** @param n by which what was used is divided */
  async end(n: number): Promise<Usage> {
    const [c1, s1] = [this.#cpu(), await this.database.snapshot()];
    const { cpu: c0, counted: s0 } = this.#began;
    const used = (name: keyof CpuTimes): number => Math.max(0, round(c1[name] - c0[name]));
    const wallS = round((c1.at - c0.at) / 1e9);
    const [worker, client, server, pg] = [used('worker'), used('client'), used('server'), used('pg')];
    const foreign = Math.max(0, round(used('machine') - worker - client - server - pg - used('self')));
    const per = (total: number): number | undefined => (Number.isNaN(total) ? undefined : round(total / n));
    return {
      cpu: { wallS, worker, client, server, pg, foreign },
      foreignPct: round((100 * foreign) / wallS / CORES),
      per: {
        cpuMs: per(1000 * (worker + client + server + pg)),
        nodeMs: per(1000 * (worker + client)),
        pgMs: per(1000 * pg),
        serverMs: per(1000 * server),
        writeTx: per(s1.xid - s0.xid),
        statements: per(s1.statements - s0.statements),
        sqlMs: per(s1.sqlMs - s0.sqlMs),
        walKib: per((s1.wal - s0.wal) / 1024),
        walSyncs: per(s1.walSyncs - s0.walSyncs),
      },
      top: await this.database.top(),
    };
  }

  async teardown(): Promise<void> {
    for (const child of new Set([...this.workers, this.client].filter(Boolean))) await child.stop();
    await this.target.peer.teardown?.(this.#server);
    await this.database?.dispose(this.cluster);
  }

  #start(role: 'worker' | 'client' | 'both', index: number): Promise<WorkerProcess> {
    const { peer, module, mode, node } = this.target;
    const spec = { peer: module, mode, role, index, url: this.database.url };
    return WorkerProcess.start(peer.name, spec, node);
  }

  #cpu(): CpuTimes {
    const sum = (pids: readonly number[]): number => pids.reduce((all, pid) => all + cpuOf(pid), 0);
    return {
      worker: sum(this.workers.map(({ pid }) => pid)),
      client: sum(this.mode.embedded || !this.client ? [] : [this.client.pid]),
      server: sum(this.serverPids),
      pg: cpuOfCluster(this.cluster.postmaster),
      machine: cpuOfMachine(),
      self: cpuOf(process.pid),
      at: now(),
    };
  }
}
