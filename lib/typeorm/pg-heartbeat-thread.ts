import { Worker } from 'node:worker_threads';
import { HeartbeatThread, type HeartbeatThreadSettings } from '../ports/index.js';
import type { BeatThreadSettings } from './beat-thread.js';
import type { Database } from './database.js';
import { loadModule } from './modules.js';
import { isPGliteDriver } from './pglite/driver.js';
import { stillAlive } from './statements/index.js';
import type { Tables } from './tables.js';
import { threadConnection } from './thread-connection.js';

/** Index of each thread's last beat in what they share. */
const MAIN = 0;
const THREAD = 1;
/** A thread that has to close a connection is given so long, then it is ended. */
const STOP_MS = 1000;

// taken once: tests of the application may replace the clocks of the process, and the thread's goes on
const { hrtime } = process;
const now = hrtime.bigint.bind(hrtime);

interface Log {
  warn(message: string): void;
  debug?(message: string): void;
}

/** A thread with a connection of its own, opened when it is needed. Its code is `beat-thread.js`. */
export class PgHeartbeatThread extends HeartbeatThread {
  readonly #sentAt = new BigInt64Array(new SharedArrayBuffer(16));
  #thread: Worker | undefined;
  #stopped = false;

  constructor(
    private readonly database: Database,
    private readonly tables: Tables,
    private readonly logger: Log,
    private readonly code?: URL,
  ) {
    super();
  }

  async start(settings: HeartbeatThreadSettings): Promise<void> {
    this.#stopped = false;
    this.beaten(0);
    const { driver, pool } = this.database.connections;
    // it has one session, and that is the main thread's
    if (isPGliteDriver(driver)) return;
    try {
      if (pool.Client !== (await loadModule('pg')).Client) throw new Error('the driver is not pg itself');
      const connection = threadConnection(pool.options);
      const code = this.code ?? (await import('./beat-thread-url.js')).BEAT_THREAD;
      this.#launch(code, {
        ...settings,
        connection,
        beats: this.#sentAt.buffer as SharedArrayBuffer,
        statement: stillAlive.text(this.tables),
      });
    } catch (error) {
      this.#goesWithout('debug', error as Error);
    }
  }

  beaten(agoMs: number): void {
    Atomics.store(this.#sentAt, MAIN, now() - BigInt(Math.round(Math.max(0, agoMs) * 1e6)));
  }

  get lastBeatAgo(): number {
    const sentAt = Atomics.load(this.#sentAt, THREAD);
    return sentAt === 0n ? Infinity : Number(now() - sentAt) / 1e6;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const thread = this.#thread;
    this.#thread = undefined;
    if (thread) await this.#end(thread);
    Atomics.store(this.#sentAt, THREAD, 0n);
  }

  #launch(program: URL, settings: BeatThreadSettings): void {
    if (this.#stopped) return;
    // what the process was started with (loaders, inspectors, instrumentation) is no matter of this thread
    const thread = new Worker(program, { workerData: settings, execArgv: [], name: 'nestjs-workflow' });
    thread.unref();
    this.#thread = thread;
    let works = false;
    let cause: Error | undefined;
    thread.once('message', () => (works = true));
    thread.on('error', (error: Error) => (cause = error));
    thread.once('exit', (code) => {
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      const why = cause ?? new Error(`it ended with code ${code}`);
      if (!works) return this.#goesWithout('warn', why);
      this.logger.warn(`The thread of the heartbeat has ended, and is started again: ${why.message}`);
      // not at once: one that dies at its first deed would take all the time there is
      setTimeout(() => this.#launch(program, settings), settings.heartbeatMs).unref();
    });
  }

  async #end(thread: Worker): Promise<void> {
    // it has never beaten: there is no connection to close
    if (this.lastBeatAgo === Infinity) return void (await thread.terminate());
    const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    const late = setTimeout(() => void thread.terminate(), STOP_MS);
    thread.ref();
    thread.postMessage('stop');
    await ended;
    clearTimeout(late);
  }

  #goesWithout(level: 'warn' | 'debug', { message }: Error): void {
    const said = `No thread for the heartbeat (${message}): a step that blocks the event loop loses its lease.`;
    if (level === 'warn') this.logger.warn(said);
    else this.logger.debug?.(said);
  }
}
