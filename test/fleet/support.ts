import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { bundle, Child } from '../support/child.js';
import type { Execution, Order, Said, Started } from './protocol.js';
import { executionsIn } from './workflows.js';

/** A process of the fleet. */
export class Member {
  readonly said: string[] = [];

  private constructor(
    readonly child: Child,
    readonly url: string,
    readonly worker: string,
  ) {}

  static async start(file: string, order: Order): Promise<Member> {
    const child = Child.start(file, [JSON.stringify(order)]);
    const said: string[] = [];
    child.process.on(
      'message',
      (message: Said | Started) => message.at === 'said' && said.push(message.line),
    );
    const { url, worker } = await child.message<Started>(({ at }) => at === 'started');
    return Object.assign(new Member(child, url, worker), { said });
  }

  get pid(): number {
    return this.child.process.pid!;
  }
}

/** Processes on one database, and a connection that looks on. */
export class Fleet {
  readonly #folder = mkdtempSync(join(tmpdir(), 'workflow-fleet-'));
  readonly file = join(this.#folder, 'executions');
  readonly #members: Promise<Member>[] = [];
  readonly #pool: pg.Pool;
  static #program: ReturnType<typeof bundle> | undefined;

  /** @param url of a database with the tables */
  constructor(readonly url: string) {
    this.#pool = new pg.Pool({ connectionString: url, max: 2 });
    this.#pool.on('error', () => undefined);
  }

  /** One bundle for all tests of a file. */
  static async prepare(): Promise<() => void> {
    const program = await (Fleet.#program ??= bundle('test/fleet/children/member.ts'));
    return () => program.remove();
  }

  async start(order: Omit<Order, 'url' | 'file'>): Promise<Member> {
    const { file } = await Fleet.#program!;
    const starting = Member.start(file, { ...order, url: this.url, file: this.file });
    this.#members.push(starting);
    return starting;
  }

  async rows<R>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.#pool.query(text, values)).rows as R[];
  }

  /** Lets the long steps end. */
  letGo(): void {
    writeFileSync(`${this.file}.go`, '');
  }

  get executions(): Execution[] {
    return executionsIn(this.file);
  }

  /** Processes in which the step was executed, in that order. */
  executedBy(step: string, runId?: string): number[] {
    return this.executions
      .filter((one) => one.step === step && (runId === undefined || one.runId === runId))
      .map(({ pid }) => pid);
  }

  async tasks(): Promise<{ owner: string | null; fence: number; lost: number }[]> {
    return this.rows('select lease_owner as owner, fence, lost from workflow_task order by id');
  }

  async workers(): Promise<string[]> {
    return (await this.rows<{ id: string }>('select id from workflow_worker')).map(({ id }) => id);
  }

  /** Kills what is left. */
  async end(): Promise<void> {
    const members = await Promise.allSettled(this.#members);
    const running = members.flatMap((one) => (one.status === 'fulfilled' ? [one.value.child] : []));
    await Promise.all(running.map((child) => child.kill()));
    await this.#pool.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
