import { readAnswer } from './messages.js';

/** What this library uses of a PGlite instance; named here, as `@electric-sql/pglite` is an optional package. */
export interface PGliteSession {
  readonly waitReady: Promise<void>;
  readonly closed: boolean;
  runExclusive<T>(work: () => Promise<T>): Promise<T>;
  execProtocolRaw(message: Uint8Array): Promise<Uint8Array>;
  exec(sql: string): Promise<unknown>;
  dumpDataDir(compression?: 'none' | 'gzip' | 'auto'): Promise<Blob>;
  close(): Promise<void>;
}

/** Longest time without a turn of the event loop. */
const SLICE_MS = 5;

/** One of the connections that take turns on the session. */
export interface SessionConnection {
  receive(bytes: Buffer): void;
  fail(error: Error): void;
}

interface Job {
  readonly connection: SessionConnection;
  /** undefined: end the transaction that the connection may have left open */
  readonly bytes: Buffer | undefined;
  /** prepared statements to free */
  readonly free?: ReadonlySet<string>;
}

/**
 * Lets many connections take turns on the one session of PGlite. A connection whose transaction is open keeps the session
 * until that ends; the others wait, as they would for locks. So nothing may await another connection's query inside an
 * open transaction.
 */
export class SessionScheduler {
  private readonly connections = new Set<SessionConnection>();
  private queue: Job[] = [];
  /** who has a transaction (or an unfinished batch) open */
  private owner: SessionConnection | undefined;
  private lastTurn = -Infinity;
  private running: Job | undefined;

  constructor(readonly session: PGliteSession) {}

  add(connection: SessionConnection): void {
    this.connections.add(connection);
  }

  /** Answers go to `connection.receive`, failures of PGlite itself to `connection.fail`. */
  send(connection: SessionConnection, bytes: Buffer): void {
    this.queue.push({ connection, bytes });
    void this.pump();
  }

  /** The connection went back to its pool: a transaction left open must not starve all others. */
  reset(connection: SessionConnection): void {
    const concerned = (job: Job | undefined): boolean => job?.connection === connection;
    if (this.owner !== connection && !concerned(this.running) && !this.queue.some(concerned)) return;
    // in line behind what the connection has already sent, and before what its next user sends
    this.queue.push({ connection, bytes: undefined });
    void this.pump();
  }

  /**
   * The connection is gone: what it has not sent yet is dropped, its open transaction is rolled back, its
   * prepared statements are freed.
   */
  remove(connection: SessionConnection, prepared: ReadonlySet<string>): void {
    if (!this.connections.delete(connection)) return;
    this.queue = this.queue.filter((job) => job.connection !== connection);
    this.queue.push({ connection, bytes: undefined, free: prepared });
    void this.pump();
  }

  private async pump(): Promise<void> {
    if (this.running) return;
    for (;;) {
      const index = this.owner ? this.queue.findIndex((job) => job.connection === this.owner) : 0;
      const job = index < 0 ? undefined : this.queue.splice(index, 1)[0];
      if (!job) return;
      this.running = job;
      try {
        await this.letOthersRun();
        await (job.bytes ? this.execute(job.connection, job.bytes) : this.cleanUp(job));
      } catch (error) {
        if (this.owner === job.connection) this.owner = undefined;
        job.connection.fail(error instanceof Error ? error : new Error(String(error)));
      } finally {
        this.running = undefined;
      }
    }
  }

  private async execute(connection: SessionConnection, bytes: Buffer): Promise<void> {
    // PGlite's own calls (`exec`, `dumpDataDir`) must not get between the parts of a raw one: they would wait for each other
    const raw = await this.session.runExclusive(() => this.session.execProtocolRaw(bytes));
    const { status, notifications, rest } = readAnswer(raw);
    // before the answer is handed on: that may give the connection back to its pool in this very tick
    this.owner = status === 'I' ? undefined : connection;
    if (rest.length > 0 && this.connections.has(connection)) connection.receive(rest);
    // each connection may have said LISTEN, and the session does not know which
    for (const notification of notifications) {
      for (const each of this.connections) each.receive(notification);
    }
  }

  /**
   * PGlite answers without leaving the microtask queue, so a loop of queries would keep every timer and socket of the process
   * waiting. A real server's answers come in turns of the event loop of their own; here one comes at least every few ms.
   */
  private async letOthersRun(): Promise<void> {
    if (performance.now() - this.lastTurn < SLICE_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.lastTurn = performance.now();
  }

  private async cleanUp({ connection, free }: Job): Promise<void> {
    const held = this.owner === connection;
    this.owner = undefined;
    if (this.session.closed) return;
    if (held) await this.session.exec('rollback');
    for (const name of free ?? []) {
      // unknown when its Parse failed: then nothing is to be freed
      await this.session.exec(`deallocate "${name.replaceAll('"', '""')}"`).catch(() => undefined);
    }
  }
}
