import {
  Global,
  Module,
  type DynamicModule,
  type INestApplication,
  type LoggerService,
  type Provider,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import pg from 'pg';
import { vi } from 'vitest';
import {
  currentStep,
  defineEvent,
  NonRetryableError,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  type WorkflowModuleExtras,
  type WorkflowModuleOptions,
} from 'nestjs-workflow';
import { Probe, RunStore, type ProbePoint } from '../../lib/ports/index.js';
import type { RuntimeConfig } from '../../lib/runtime/config.js';
import { Database } from '../../lib/typeorm/database.js';
import { EMBEDDED_DUMP } from '../../lib/workflow.persistence.js';
import { RUNTIME_OVERRIDES } from '../../lib/workflow.tokens.js';
import type { TestDatabase } from '../support/databases.js';
import { silentLogger } from '../support/silent-logger.js';

/** A promise and its ends: what tests wait for instead of sleeping. */
export class Signal<T = void> {
  resolve!: (value: T) => void;
  readonly promise = new Promise<T>((resolve) => (this.resolve = resolve));
}

interface Hold {
  readonly point: ProbePoint;
  readonly runId: string | undefined;
  readonly reached: Signal;
  readonly go: Signal;
}

/** Holds a run exactly at a point, until the test lets it go. */
export class HoldingProbe extends Probe {
  readonly #holds: Hold[] = [];
  readonly #made: Hold[] = [];

  /** The next time that the run comes to this point it stays there. */
  hold(point: ProbePoint, runId?: string): { reached: Promise<void>; release: () => void } {
    const hold: Hold = { point, runId, reached: new Signal(), go: new Signal() };
    this.#holds.push(hold);
    this.#made.push(hold);
    return { reached: hold.reached.promise, release: () => hold.go.resolve() };
  }

  at(point: ProbePoint, { runId }: { readonly runId?: string }): void | Promise<void> {
    const at = this.#holds.findIndex(
      (hold) => hold.point === point && (hold.runId === undefined || hold.runId === runId),
    );
    if (at < 0) return undefined;
    const [hold] = this.#holds.splice(at, 1);
    hold!.reached.resolve();
    return hold!.go.promise;
  }

  /** Lets all go, so that an application can close after a failed assertion. */
  releaseAll(): void {
    this.#holds.length = 0;
    for (const { go } of this.#made) go.resolve();
  }
}

export const Go = defineEvent<string>('go');

/** Ends at once, with its payload. */
@Workflow({ name: 'echo' })
export class Echo {
  async run(ctx: WorkflowContext): Promise<unknown> {
    return ctx.payload;
  }
}

/** Another one, for the same run ids. */
@Workflow({ name: 'other-echo' })
export class OtherEcho {
  async run(ctx: WorkflowContext): Promise<unknown> {
    return ctx.payload;
  }
}

/** Waits for `Go(payload)`, for as long as it takes, and ends with what it was given. */
@Workflow({ name: 'waits' })
export class Waits {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    const { data } = await ctx.waitForEvent('go', Go(ctx.payload));
    return data;
  }
}

/** Waits for `Go(payload)` for an hour. */
@Workflow({ name: 'waits-an-hour' })
export class WaitsAnHour {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    const got = await ctx.waitForEvent('go', Go(ctx.payload), { timeout: '1h' });
    return got.timedOut ? 'nothing' : got.data;
  }
}

@Workflow({ name: 'sleeps' })
export class Sleeps {
  async run(ctx: WorkflowContext): Promise<string> {
    await ctx.sleep('nap', '1h');
    return 'awake';
  }
}

@Workflow({ name: 'fails' })
export class Fails {
  async run(ctx: WorkflowContext<string>): Promise<never> {
    await ctx.run('charge', async () => {
      throw Object.assign(new NonRetryableError(`no funds for ${ctx.payload}`), { code: 'E_FUNDS' });
    });
    throw new Error('never comes here');
  }
}

/** Executes until the test lets it; knows its signal. */
export class Gates {
  readonly entered = new Map<string, Signal<AbortSignal>>();
  readonly open = new Map<string, Signal>();

  /** Resolves with the step's signal once the step of this payload executes. */
  enter(name: string): Promise<AbortSignal> {
    return this.#of(this.entered, name).promise;
  }
  release(name: string): void {
    this.#of(this.open, name).resolve();
  }

  @Step({ retries: 0 })
  async pass(name: string): Promise<string> {
    this.#of(this.entered, name).resolve(currentStep().signal);
    await this.#of(this.open, name).promise;
    return `passed ${name}`;
  }

  #of<T>(map: Map<string, Signal<T>>, name: string): Signal<T> {
    const signal = map.get(name) ?? new Signal<T>();
    map.set(name, signal);
    return signal;
  }
}

@Workflow({ name: 'gated' })
export class Gated {
  constructor(readonly gates: Gates) {}
  async run(ctx: WorkflowContext<string>): Promise<string> {
    return this.gates.pass(ctx.payload);
  }
}

export const WORKFLOWS: Provider[] = [
  Echo,
  OtherEcho,
  Waits,
  WaitsAnHour,
  Sleeps,
  Fails,
  Gated,
  { provide: Gates, useFactory: () => new Gates() },
];

export interface AppOptions {
  readonly workflow?: WorkflowModuleOptions & WorkflowModuleExtras;
  readonly module?: DynamicModule;
  readonly imports?: DynamicModule['imports'];
  readonly providers?: Provider[];
  readonly runtime?: Partial<RuntimeConfig>;
  /** listens on a port of its own @default false: only initialized */
  readonly listen?: boolean;
  readonly logger?: LoggerService;
  readonly setup?: (app: INestApplication) => void;
}

export interface TestApp {
  readonly app: INestApplication;
  readonly client: WorkflowClient;
  readonly database: Database;
  readonly store: RunStore;
  readonly gates: Gates;
  readonly probe: HoldingProbe;
  readonly close: () => Promise<void>;
}

@Global()
@Module({})
class TestOverrides {
  readonly name = 'overrides';
}

/** What a test puts in place of the defaults, visible to the workflow module. */
export function overrides(
  db: TestDatabase,
  runtime: Partial<RuntimeConfig> = {},
  probe: Probe = new HoldingProbe(),
): DynamicModule {
  const providers: Provider[] = [
    { provide: EMBEDDED_DUMP, useValue: db.loadDataDir },
    { provide: RUNTIME_OVERRIDES, useValue: runtime },
    { provide: Probe, useValue: probe },
  ];
  return { module: TestOverrides, providers, exports: providers };
}

/** An application on this database; without `listen` steps run in-process. */
export async function startApp(db: TestDatabase, options: AppOptions = {}): Promise<TestApp> {
  const probe = new HoldingProbe();
  const { workflow = {}, listen = false } = options;
  const forRoot =
    options.module ??
    WorkflowModule.forRoot({
      database: db.options,
      transport: listen ? 'http' : 'in-process',
      ...workflow,
      ...(workflow.worker !== false && { worker: { shutdownGrace: '200ms', ...workflow.worker } }),
    });
  const module = await Test.createTestingModule({
    imports: [overrides(db, options.runtime, probe), ...(options.imports ?? []), forRoot],
    providers: options.providers ?? WORKFLOWS,
  })
    .setLogger(options.logger ?? silentLogger)
    .compile();
  const app = module.createNestApplication({ logger: options.logger ?? silentLogger });
  options.setup?.(app);
  if (listen) await app.listen(0, '127.0.0.1');
  else await app.init();
  return {
    app,
    client: app.get(WorkflowClient, { strict: false }),
    database: app.get(Database, { strict: false }),
    store: app.get(RunStore, { strict: false }),
    get gates() {
      return app.get(Gates, { strict: false });
    },
    probe,
    close: async () => {
      probe.releaseAll();
      await app.close();
    },
  };
}

const TABLES = [
  'workflow_run',
  'workflow_step',
  'workflow_task',
  'workflow_message',
  'workflow_schedule',
] as const;

/** Every row of the engine's tables: two dumps are equal when nothing was written between them. */
export async function dump({ database }: TestApp): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  for (const table of TABLES) {
    const rows = await database.source.query<{ row: string }[]>(
      `select to_jsonb(t)::text as row from ${table} t order by 1`,
    );
    all[table] = rows.map(({ row }) => row);
  }
  return all;
}

/** Statements sent while `work` goes on, by name. */
export async function statementsOf(app: TestApp, work: () => Promise<unknown>): Promise<string[]> {
  const names: string[] = [];
  app.database.onQuery = (name) => names.push(name);
  try {
    await work();
  } finally {
    app.database.onQuery = undefined;
  }
  return names;
}

/** Until the run is in this status: looked at again and again, as nobody announces it. */
export const untilStatus = (client: WorkflowClient, runId: string, status: string): Promise<void> =>
  vi.waitFor(
    async () => {
      const run = await client.get(runId);
      if (run.status !== status) throw new Error(`run ${runId} is ${run.status}, not ${status}`);
    },
    { timeout: 10_000, interval: 5 },
  );

/** Until nothing is owed after an end any more: a pass of its own clears the marks that an end or a cancel has left. */
export const untilPaid = ({ database }: TestApp): Promise<void> =>
  vi.waitFor(
    async () => {
      const owed = await database.source.query(
        `select run_id from workflow_run where unreported or uncascaded`,
      );
      if (owed.length > 0) throw new Error(`owed after ${JSON.stringify(owed)}`);
    },
    { timeout: 10_000, interval: 5 },
  );

/** A session of the test's own on a PostgreSQL database. */
export async function session(db: TestDatabase): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: db.url });
  await client.connect();
  return client;
}

/** Until as many sessions as asked wait for a lock in a statement like this one: the server says so, of its first 1024 bytes. */
export async function untilBlocked(observer: pg.Client, like: string, count = 1): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await observer.query<{ waiting: number }>(
        `select count(*)::int as waiting from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query ilike $1`,
        [`%${like}%`],
      );
      if (rows[0]!.waiting < count) throw new Error(`${rows[0]!.waiting} sessions wait in ${like}`);
    },
    { timeout: 10_000, interval: 5 },
  );
}
