import { randomUUID } from 'node:crypto';
import { Global, Module, type INestApplication, type ModuleMetadata, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  FailureContext,
  OnFailure,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  WorkflowScheduler,
  type RunHandle,
  type WorkflowModuleOptions,
} from 'nestjs-workflow';
import type { RuntimeConfig } from '../../lib/runtime/config.js';
import { SystemClock } from '../../lib/runtime/system-clock.js';
import { EMBEDDED_DUMP } from '../../lib/workflow.persistence.js';
import { CLOCK_OVERRIDE, RUNTIME_OVERRIDES } from '../../lib/workflow.tokens.js';
import { DATABASES, createFolder, type TestDatabase, type TestDatabases } from '../support/databases.js';
import { recordingLogger } from '../support/silent-logger.js';

/** One way of running the same code: every promise of replay holds in all of them. */
export interface Mode {
  readonly name: string;
  readonly database: TestDatabases;
  readonly transport: 'http' | 'in-process';
  /** true: nothing is kept between deliveries, so that each of them replays the journal from the start */
  readonly fresh: boolean;
}

const named = (name: TestDatabases['name']): TestDatabases => DATABASES.find((one) => one.name === name)!;
const [postgres, pglite] = [named('postgres'), named('pglite')];
const modeOf = (database: TestDatabases, transport: Mode['transport'], fresh: boolean): Mode => ({
  name: `${database.name}, ${transport}, ${fresh ? 'replayed from the journal each time' : 'parked'}`,
  database,
  transport,
  fresh,
});

export const PARKED = modeOf(pglite, 'in-process', false);
export const FRESH = modeOf(pglite, 'in-process', true);
export const MODES: readonly Mode[] = [
  PARKED,
  FRESH,
  modeOf(postgres, 'http', true),
  modeOf(postgres, 'http', false),
];

/** PGlite in a folder: what was stored outlives the application. */
export const ON_DISK: Mode = {
  ...FRESH,
  name: 'pglite in a folder, replayed after a restart',
  database: { name: 'pglite', create: createFolder },
};

/** The time of SQL, which can be moved on; the process keeps its own. */
export class MovableClock extends SystemClock {
  private offset = 0;

  override sqlNow(): any {
    return new Date(Date.now() + this.offset);
  }
  override sqlElapsed(): number {
    return this.elapsed() + this.offset;
  }
  move(ms: number): void {
    this.offset += ms;
  }
}

export type Script = (ctx: WorkflowContext<ScriptPayload>) => Promise<unknown>;
export interface ScriptPayload {
  script: string;
  data?: unknown;
}

const scripts = new Map<string, { body: Script; onFailure?: (ctx: FailureContext) => Promise<void> }>();
const replays = new Map<string, number>();

function perform(ctx: WorkflowContext<ScriptPayload>): Promise<unknown> {
  replays.set(ctx.runId, (replays.get(ctx.runId) ?? 0) + 1);
  return scripts.get(ctx.payload.script)!.body(ctx);
}

/** A workflow whose code is given by the test that triggers it. Errors of its own code are final. */
@Workflow({ name: 'scripted', retries: 0, stepDefaults: { backoff: { initial: '1ms', factor: 1 } } })
export class Scripted {
  run(ctx: WorkflowContext<ScriptPayload>): Promise<unknown> {
    return perform(ctx);
  }
}

/** The same with two retries of `run` itself. */
@Workflow({ name: 'retried', retries: 2, backoff: { initial: '1ms' } })
export class Retried extends Scripted {}

/** The same with a time limit. */
@Workflow({ name: 'limited', retries: 0, timeout: '1m' })
export class Limited extends Scripted {}

/** The same with a handler of failure. */
@Workflow({ name: 'guarded', retries: 0, stepDefaults: { backoff: { initial: '1ms', factor: 1 } } })
export class Guarded extends Scripted {
  @OnFailure()
  async failed(ctx: FailureContext<ScriptPayload>): Promise<void> {
    await scripts.get(ctx.payload.script)!.onFailure!(ctx);
  }
}

export interface BenchOptions {
  readonly imports?: ModuleMetadata['imports'];
  readonly providers?: Provider[];
  readonly overrides?: Partial<RuntimeConfig>;
  readonly module?: WorkflowModuleOptions;
  readonly database?: TestDatabase;
}

/** An application that serves the scripted workflows. */
export class Bench {
  readonly client: WorkflowClient;

  private constructor(
    readonly app: INestApplication,
    readonly database: TestDatabase,
    readonly clock: MovableClock,
    /** what was logged, as `level: message` */
    readonly lines: string[],
  ) {
    this.client = app.get(WorkflowClient);
  }

  static async start(mode: Mode, options: BenchOptions = {}): Promise<Bench> {
    const database = options.database ?? (await mode.database.create());
    const clock = new MovableClock();
    const logger = recordingLogger();
    const overrides = { ...(mode.fresh && { parkLimit: 0 }), ...options.overrides };

    @Global()
    @Module({
      providers: [
        { provide: RUNTIME_OVERRIDES, useValue: overrides },
        { provide: CLOCK_OVERRIDE, useValue: clock },
        { provide: EMBEDDED_DUMP, useValue: database.loadDataDir },
      ],
      exports: [RUNTIME_OVERRIDES, CLOCK_OVERRIDE, EMBEDDED_DUMP],
    })
    class Overrides {}

    const module = await Test.createTestingModule({
      imports: [
        Overrides,
        ...(options.imports ?? []),
        WorkflowModule.forRoot({
          database: database.options,
          transport: mode.transport,
          ...options.module,
          worker: { pollInterval: '20ms', heartbeat: '100ms', leaseTimeout: '5s', shutdownGrace: '1s' },
        }),
      ],
      providers: [Scripted, Retried, Limited, Guarded, ...(options.providers ?? [])],
    })
      .setLogger(logger)
      .compile();
    const app = module.createNestApplication({ logger });
    if (mode.transport === 'http') await app.listen(0, '127.0.0.1');
    else await app.init();
    return new Bench(app, database, clock, logger.lines);
  }

  /** Ends the application; the database stays. */
  async stop(): Promise<void> {
    await this.app.close();
  }

  async dispose(): Promise<void> {
    await this.stop();
    await this.database.dispose();
  }

  /** Starts a run of this code. */
  async start(
    body: Script,
    options: {
      runId?: string;
      data?: unknown;
      workflow?: typeof Scripted;
      onFailure?: (ctx: FailureContext) => Promise<void>;
    } = {},
  ): Promise<TestRun> {
    const { runId = randomUUID(), data, workflow = Scripted, onFailure } = options;
    scripts.set(runId, { body, ...(onFailure && { onFailure }) });
    const payload = { script: runId, ...(data !== undefined && { data }) };
    const handle = await this.client.trigger(workflow, payload, { runId });
    return new TestRun(this, handle);
  }

  /** Moves the time of runs on; what is due by then is looked for at once. */
  move(ms: number): void {
    this.clock.move(ms);
    this.app.get(WorkflowScheduler).wake();
  }

  linesWith(text: string): string[] {
    return this.lines.filter((line) => line.includes(text));
  }
}

/** Puts other code in the place of a run's code, as a deploy does. */
export function redeploy(runId: string, body: Script): void {
  scripts.set(runId, { ...scripts.get(runId), body });
}

/** A run and what a test wants to know of it. */
export class TestRun {
  constructor(
    readonly bench: Bench,
    readonly handle: RunHandle,
  ) {}

  get runId(): string {
    return this.handle.runId;
  }
  /** how often its code was begun */
  get replays(): number {
    return replays.get(this.runId) ?? 0;
  }
  result(): Promise<any> {
    return this.handle.result({ timeout: '20s' });
  }
  /** Rejects when the run does not fail. */
  async failure(): Promise<any> {
    const outcome = await this.result().then(
      (value: unknown) => ({ value }),
      (error: unknown) => ({ error }),
    );
    if ('value' in outcome) throw new Error(`The run gave ${JSON.stringify(outcome.value)}`);
    return outcome.error;
  }
  /** Resolves once the journal fits. */
  async journal(
    fits: (entries: Awaited<ReturnType<WorkflowClient['journal']>>) => boolean = () => true,
  ): Promise<Awaited<ReturnType<WorkflowClient['journal']>>> {
    for (;;) {
      const entries = await this.bench.client.journal(this.runId);
      if (fits(entries)) return entries;
      await later(5);
    }
  }
  /** Resolves once these keys are asked for, durably, and wait. */
  async waitsFor(...keys: string[]): Promise<void> {
    await this.journal((all) =>
      keys.every((key) => all.some((one) => one.key === key && one.state === 'pending')),
    );
  }
  /** Resolves once the answers of these keys are facts. */
  async has(...keys: string[]): Promise<void> {
    await this.journal((all) =>
      keys.every((key) => all.some((one) => one.key === key && one.state === 'journaled')),
    );
  }
}

export const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Something a test waits for, and code tells. */
export class Latch<T = void> {
  readonly opened: Promise<T>;
  open!: (value: T) => void;
  constructor() {
    this.opened = new Promise((resolve) => (this.open = resolve));
  }
}

/** Opens when as many have arrived. */
export class Barrier {
  private readonly latch = new Latch();
  private arrived = 0;
  constructor(private readonly count: number) {}
  async arrive(): Promise<void> {
    if (++this.arrived >= this.count) this.latch.open();
    await this.latch.opened;
  }
}
