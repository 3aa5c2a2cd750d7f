import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('../worker.js', import.meta.url));
const TRIES = 40;
const PAUSE_MS = 50;
const DRAIN_MS = 10_000;

/** The worker as the driver sees it: always one process, which may be killed and replaced. */
export class WorkerProcess {
  /** when each killed process died, by pid */
  readonly kills = new Map<number, number>();

  private child: ChildProcess | undefined;
  private url!: Promise<string>;

  constructor(private readonly env: NodeJS.ProcessEnv) {}

  start(): Promise<string> {
    // stdout is the driver's own: its last line may have to be JSON
    const child = fork(WORKER, { env: { ...process.env, ...this.env }, stdio: ['ignore', 2, 2, 'ipc'] });
    this.child = child;
    this.expectAt(
      new Promise((resolve, reject) => {
        child.once('message', (message) => resolve((message as { url: string }).url));
        child.once('exit', (code, signal) => {
          const ended = new Error(`the worker ended by itself (${signal ?? `exit code ${code}`})`);
          reject(ended);
          if (this.child === child) this.expectAt(Promise.reject(ended));
        });
      }),
    );
    return this.url;
  }

  /** Kills the process as hard as possible, and starts another on the same database. */
  async replace(): Promise<void> {
    let start!: (url: Promise<string>) => void;
    // calls wait for the next worker from now on
    this.expectAt(new Promise((resolve) => (start = resolve)));
    this.kills.set(this.child!.pid!, Date.now());
    await this.end('SIGKILL');
    start(this.start());
    await this.url;
  }

  /** With SIGTERM the process drains. */
  stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    return this.end(signal);
  }

  /**
   * One request to the sample's HTTP interface. A request whose worker is killed before it has answered goes to the next
   * one: nobody knows whether it was carried out, so it has to be one that may be sent twice.
   */
  async call<T>(path: string, body: unknown): Promise<T> {
    for (let tries = 1; ; tries++) {
      const url = await this.url;
      let response: Response;
      let text: string;
      try {
        response = await fetch(url + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
        text = await response.text();
      } catch (error) {
        if (tries === TRIES) throw error;
        await delay(PAUSE_MS);
        continue;
      }
      if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${text}`);
      return JSON.parse(text) as T;
    }
  }

  private expectAt(url: Promise<string>): void {
    this.url = url;
    // reported by the next call, or by none: the session may be over
    url.catch(() => {});
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    process.kill(child.pid!, signal);
    const impatient = setTimeout(() => child.kill('SIGKILL'), DRAIN_MS);
    await exit;
    clearTimeout(impatient);
  }
}
