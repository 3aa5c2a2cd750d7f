import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Injectable } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Step, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { createPostgres, onServer, type TestDatabase } from '../support/databases.js';
import { boot, Executions, type Instance, until } from './support.js';

// hundreds of runs, on a machine that may be busy
vi.setConfig({ testTimeout: 120_000 });

@Injectable()
class Steps {
  readonly executions = new Executions();

  @Step() async first(n: number): Promise<number> {
    return this.#step(n);
  }
  @Step() async left(n: number): Promise<number> {
    return this.#step(n);
  }
  @Step() async right(n: number): Promise<number> {
    return this.#step(n);
  }
  @Step() async last(n: number): Promise<number> {
    return this.#step(n);
  }

  async #step(n: number): Promise<number> {
    this.executions.add();
    await new Promise((resolve) => setTimeout(resolve, 2));
    return n + 1;
  }
}

@Workflow({ name: 'wired' })
class Wired {
  constructor(readonly steps: Steps) {}

  async run(ctx: WorkflowContext<{ n: number }>): Promise<number> {
    const first = await this.steps.first(ctx.payload.n);
    const [left, right] = await Promise.all([this.steps.left(first), this.steps.right(first)]);
    await ctx.sleep('nap', '20ms');
    const { data } = await ctx.waitForEvent<number>('go', `go ${ctx.runId}`);
    return this.steps.last(left + right + data);
  }
}
const resultOf = (n: number): number => 2 * (n + 2) + 100 + 1;
const STEPS_OF_A_RUN = 4;

/** Between the application and the database: what is on it can be cut, and for a while nothing gets through at all. */
class Wire {
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #server: Server | undefined;

  constructor(private readonly to: URL) {}

  async up(): Promise<void> {
    const server = createServer((socket) => {
      const target = connect(Number(this.to.port), this.to.hostname);
      for (const [one, other] of [
        [socket, target],
        [target, socket],
      ] as const) {
        this.#sockets.add(one);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async down(): Promise<void> {
    const closed = new Promise((resolve) => this.#server!.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  get url(): string {
    const url = new URL(this.to);
    url.hostname = '127.0.0.1';
    url.port = String(this.#port);
    return url.href;
  }
}

/** Steps with a durable answer, as `run/step`. */
async function durable(database: TestDatabase): Promise<Set<string>> {
  const source = await database.open();
  try {
    const rows = (await source.query(
      `select r.run_id || '/' || s.key as step
       from workflow_step s join workflow_run r on r.id = s.execution where s.state <> 'pending'`,
    )) as { step: string }[];
    return new Set(rows.map(({ step }) => step));
  } finally {
    await source.destroy();
  }
}

describe.each(['in-process', 'http'] as const)('connections that are lost, over %s', (transport) => {
  let database: TestDatabase;
  let instances: Instance[];
  let wire: Wire | undefined;
  beforeEach(async () => {
    database = await createPostgres();
    instances = [];
  });
  afterEach(async () => {
    await Promise.all(instances.map(({ app }) => app.close()));
    await wire?.down();
    wire = undefined;
    await database.dispose();
  });

  const start = async (on: TestDatabase): Promise<Instance> => {
    const instance = await boot(on, { transport, providers: [Steps, Wired] });
    instances.push(instance);
    return instance;
  };
  const executions = (): string[] => instances.flatMap((one) => one.get(Steps).executions.all);

  it('all at once and again and again, in the middle of 200 runs: each one ends right, no step is repeated', async () => {
    const app = await start(database);
    const client = app.get(WorkflowClient);
    const count = 200;
    const name = new URL(database.url!).pathname.slice(1);
    const terminate = (): Promise<number> =>
      onServer(async (server) => {
        const { rowCount } = await server.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1',
          [name],
        );
        return rowCount!;
      });

    const runs = Promise.all(
      Array.from({ length: count }, async (_, n) => {
        const run = await client.trigger(Wired, { n }, { runId: `r${n}` });
        await client.notify(`go r${n}`, 100, { keepFor: '1h' });
        return run;
      }),
    );
    for (const share of [0.1, 0.4, 0.7]) {
      await until(
        () => executions().length >= share * count * STEPS_OF_A_RUN,
        `${share} of the steps`,
        60_000,
      );
      expect(await terminate()).toBeGreaterThan(0);
    }
    const results = await Promise.all(
      (await runs).map(async (run) => {
        expect(run.created).toBe(true);
        return untilRead(() => run.result({ timeout: '60s' }));
      }),
    );
    expect(results).toEqual(results.map((_, n) => resultOf(n)));
    expect(executions()).toHaveLength(count * STEPS_OF_A_RUN);
    expect(new Set(executions()).size).toBe(count * STEPS_OF_A_RUN);
    expect(await app.rows('select id from workflow_task')).toEqual([]);
  });

  it('for longer than the lease timeout, of two processes: all runs end right, no durable step is executed again', async () => {
    wire = new Wire(new URL(database.url!));
    await wire.up();
    const behind: TestDatabase = { ...database, options: { url: wire.url } };
    const [a, b] = [await start(behind), await start(behind)];
    const count = 60;
    const trigger = async (n: number): Promise<{ result: () => Promise<number>; created: boolean }> => {
      const client = (n % 2 === 0 ? a : b).get(WorkflowClient);
      const run = await client.trigger(Wired, { n }, { runId: `r${n}` });
      await client.notify(`go r${n}`, 100, { keepFor: '1h' });
      return { result: () => untilRead(() => run.result({ timeout: '60s' })), created: run.created };
    };
    const runs = Array.from({ length: count }, (_, n) => trigger(n));
    // the next ones start when the first are durable
    await until(() => executions().length >= 1.5 * count, 'the first steps and some more');
    await wire.down();

    const before = await durable(database);
    const executedBefore = executions();
    expect(before.size).toBeGreaterThan(0);
    // accepted once the database is back
    runs.push(trigger(count));
    // that it lasts longer than a lease is what this is about
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(a.leases.inDoubt && b.leases.inDoubt).toBe(true);
    await wire.up();

    const results = await Promise.all(
      runs.map(async (run) => {
        const { created, result } = await run;
        expect(created).toBe(true);
        return result();
      }),
    );
    expect(results).toEqual(results.map((_, n) => resultOf(n)));
    const all = executions();
    expect(new Set(all).size).toBe((count + 1) * STEPS_OF_A_RUN);
    for (const step of executedBefore) all.splice(all.indexOf(step), 1);
    expect(all.filter((step) => before.has(step))).toEqual([]);
    expect(await a.rows('select id from workflow_task')).toEqual([]);
  });
});

/** A read that meets a broken connection is the caller's to repeat. */
async function untilRead<T>(read: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if ((error as { code?: string }).code?.startsWith('WF_')) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
