/** The harness' side of a process of a run. */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { ChildSpec, Commands, Told } from './messages.js';
import { CHILD, LOGS } from './paths.js';

const STOP_MS = 6000;
const alive = new Set<WorkerProcess>();
// also when the harness fails
process.on('exit', () => {
  for (const child of alive) child.kill();
});

export class WorkerProcess {
  /** bodies that have ended */
  done = 0;
  /** bodies that sleep or wait */
  waiting = 0;
  onResumed: ((id: string, ns: number) => void) | undefined;

  readonly #process: ChildProcess;
  readonly #asked = new Map<number, { ok: (value: never) => void; failed: (error: Error) => void }>();
  readonly #log: number;
  #seq = 0;
  #ended = false;
  #tellReady!: (error?: Error) => void;
  readonly #ready: Promise<void>;

  private constructor(name: string, spec: ChildSpec, execPath: string) {
    mkdirSync(LOGS, { recursive: true });
    this.#log = openSync(join(LOGS, `${name}-${spec.role}${spec.index}.log`), 'a');
    this.#ready = new Promise((ok, failed) => (this.#tellReady = (error) => (error ? failed(error) : ok())));
    this.#process = fork(CHILD, [JSON.stringify(spec)], {
      execPath,
      execArgv: [],
      stdio: ['ignore', this.#log, this.#log, 'ipc'],
      env: { ...process.env, ...spec.mode.env },
    });
    alive.add(this);
    this.#process.once('exit', (code, signal) => {
      alive.delete(this);
      this.#ended = true;
      closeSync(this.#log);
      const error = new Error(`${name} (${spec.role}) ended with ${code ?? signal}; see bench/logs`);
      this.#tellReady(error);
      for (const { failed } of this.#asked.values()) failed(error);
    });
    this.#process.on('message', (message) => this.#hear(message as Told));
  }

  static async start(name: string, spec: ChildSpec, execPath: string): Promise<WorkerProcess> {
    const child = new WorkerProcess(name, spec, execPath);
    await child.#ready;
    return child;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  ask<C extends keyof Commands>(
    command: C,
    given: Parameters<Commands[C]>[0],
  ): Promise<Awaited<ReturnType<Commands[C]>>> {
    const seq = ++this.#seq;
    return new Promise((ok, failed) => {
      this.#asked.set(seq, { ok: ok as (value: never) => void, failed });
      this.#process.send({ seq, command, given });
    });
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    await Promise.race([this.ask('stop', {}).catch(() => undefined), pause(STOP_MS)]);
    const timer = setTimeout(() => this.kill(), 1000);
    await exited;
    clearTimeout(timer);
  }

  #hear(message: Told): void {
    switch (message.type) {
      case 'ready':
        return this.#tellReady();
      case 'fatal':
        return this.#tellReady(new Error(message.error));
      case 'count':
        return void ({ done: this.done, waiting: this.waiting } = message);
      case 'resumed':
        return this.onResumed?.(message.id, message.ns);
      case 'reply': {
        const asked = this.#asked.get(message.seq);
        this.#asked.delete(message.seq);
        if (message.error === undefined) asked?.ok(message.value as never);
        else asked?.failed(new Error(message.error));
      }
    }
  }
}
