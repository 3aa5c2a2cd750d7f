import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Job } from './jobs.js';
import { NOT_BOOTED, type WorkerSettings } from './settings.js';

type Said = { ready: true } | { accepted: number } | { refused: number; why: string };

/** One place of the fleet: a process, and after its death the next one. */
export class Place {
  #process: ChildProcess | undefined;
  #ready = false;
  #killed = false;
  #paused = false;
  #stopped = false;
  readonly #log: WriteStream;
  readonly #asked = new Map<number, { accepted: () => void; failed: (why: Error) => void }>();
  /** ends that nobody here has caused, with their exit code or signal */
  readonly crashes: string[] = [];

  constructor(
    private readonly program: string,
    private readonly settings: WorkerSettings,
    logFolder: string,
  ) {
    this.#log = createWriteStream(join(logFolder, `${settings.name}.log`), { flags: 'a' });
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** It takes triggers. */
  get serves(): boolean {
    return this.#ready && !this.#paused && !this.#killed;
  }

  get alive(): boolean {
    return this.#process !== undefined && !this.#killed;
  }

  start(): void {
    if (this.#stopped || this.#process) return;
    const child = fork(this.program, [JSON.stringify(this.settings)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#process = child;
    this.#killed = this.#paused = false;
    this.#log.write(`== ${new Date().toISOString()} process ${child.pid}\n`);
    child.stdout!.pipe(this.#log, { end: false });
    child.stderr!.pipe(this.#log, { end: false });
    child.on('message', (said: Said) => this.#hear(said));
    child.on('error', () => undefined); // a message that could not be sent: whoever asked gets to know by the end of the process
    child.once('exit', (code, signal) => this.#ended(code, signal));
  }

  /** SIGKILL; resolves when it is dead. False when there was nobody to kill. */
  async kill(): Promise<boolean> {
    const child = this.#process;
    if (!child || this.#killed) return false;
    this.#killed = true;
    const dead = once(child, 'exit');
    child.kill('SIGKILL');
    await dead;
    return true;
  }

  /** SIGSTOP, and SIGCONT after so long. False when there was nobody, or it is paused already. */
  async pauseFor(ms: number, until: AbortSignal): Promise<boolean> {
    const child = this.#process;
    if (!child || this.#killed || this.#paused) return false;
    this.#paused = true;
    child.kill('SIGSTOP');
    await pause(ms, undefined, { signal: until }).catch(() => undefined);
    child.kill('SIGCONT');
    if (this.#process === child) this.#paused = false;
    return true;
  }

  /** Resolves once the process has said that the run is accepted. */
  trigger(job: Job): Promise<void> {
    return new Promise((accepted, failed) => {
      this.#asked.set(job.n, { accepted, failed });
      this.#process!.send(job, (error) => error && this.#refuse(job.n, error));
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.kill();
    await new Promise<void>((done) => this.#log.end(done));
  }

  #hear(said: Said): void {
    if ('ready' in said) this.#ready = true;
    else if ('refused' in said) this.#refuse(said.refused, new Error(said.why));
    else {
      this.#asked.get(said.accepted)?.accepted();
      this.#asked.delete(said.accepted);
    }
  }

  #refuse(n: number, why: Error): void {
    this.#asked.get(n)?.failed(why);
    this.#asked.delete(n);
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    const booted = this.#ready;
    this.#process = undefined;
    this.#ready = false;
    for (const n of [...this.#asked.keys()]) this.#refuse(n, new Error('the process has ended'));
    if (this.#killed || this.#stopped) return;
    if (booted || code !== NOT_BOOTED) this.crashes.push(`${this.settings.name} ended: ${signal ?? code}`);
    // as whatever supervises processes would do
    setTimeout(() => this.start(), 200);
  }
}
