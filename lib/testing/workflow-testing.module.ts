import { randomBytes } from 'node:crypto';
import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { WorkflowError } from '../errors/index.js';
import type { RuntimeConfig } from '../runtime/config.js';
import { Inspector } from '../runtime/inspector.js';
import { WorkflowModule } from '../workflow.module.js';
import type { WorkflowModuleExtras, WorkflowModuleOptions } from '../workflow.options.js';
import { EMBEDDED_DUMP } from '../workflow.persistence.js';
import { CLOCK_OVERRIDE, OPTIONS_OVERRIDE, RUNTIME_OVERRIDES } from '../workflow.tokens.js';
import { BenchClock } from './bench-clock.js';
import { OwnSchema } from './own-schema.js';
import { migratedDump } from './pglite-dump.js';
import { ReplayInspector } from './replay-inspector.js';
import { StepDoubles } from './step-doubles.js';

/** Options of the testing module. All optional; what is not given here is as in the application, or the default. */
export interface WorkflowTestingOptions extends WorkflowModuleOptions {
  /**
   * a PostgreSQL to test on, `postgres://user:password@host:5432/name`. Each application gets a schema of its own there, dropped
   * when it is closed, so that tests never meet each other's rows; `schema` names one that is kept @default PGlite in memory
   */
  url?: string;
}

/** Every delivery replays from the journal: what a `run` keeps outside of it is gone, as after a crash. */
const RUNTIME: Partial<RuntimeConfig> = { worker: true, parkLimit: 0 };

/** Webhooks get a URL; nobody listens there, and `WorkflowBench.callWebhook` needs nobody to. */
const HTTP = { publicUrl: 'http://webhooks.test', signingKey: randomBytes(32).toString('base64url') };

/** Overrides alone, visible to the WorkflowModule wherever it is imported. */
@Module({})
class WorkflowTestingOverrides {}

/**
 * The workflow module for tests: PGlite in memory (or the PostgreSQL of `url`), steps in-process, and a clock that stands still
 * until `WorkflowBench` moves it.
 */
@Module({})
export class WorkflowTestingModule {
  /** In place of `WorkflowModule.forRoot()`, for a test that provides the workflows itself. */
  static forRoot(options: WorkflowTestingOptions & WorkflowModuleExtras = {}): DynamicModule {
    const { path, isGlobal, dataSource, ...rest } = options;
    const extras = {
      ...(path !== undefined && { path }),
      ...(isGlobal !== undefined && { isGlobal }),
      ...(dataSource !== undefined && { dataSource }),
    };
    return {
      module: WorkflowTestingModule,
      imports: [this.forApp(rest), WorkflowModule.forRoot(extras)],
      exports: [WorkflowModule],
    };
  }

  /**
   * Beside a module that imports `WorkflowModule` itself: `imports: [AppModule, WorkflowTestingModule.forApp()]`. The options of
   * the application hold (retries, limits, path), except where the workflows are kept and how steps are called.
   */
  static forApp(options: WorkflowTestingOptions = {}): DynamicModule {
    const { url, ...rest } = options;
    if (url !== undefined && rest.database !== undefined) {
      throw new WorkflowError('WF_INVALID_OPTIONS', 'Options `url` and `database` are both given');
    }
    const own = url !== undefined && rest.schema === undefined ? new OwnSchema(url) : undefined;
    const storage: WorkflowModuleOptions = {
      database: url === undefined ? (rest.database ?? { embedded: 'memory' }) : { url },
    };
    const schema = own?.name ?? rest.schema;
    if (schema !== undefined) storage.schema = schema;
    const override = (given: WorkflowModuleOptions): WorkflowModuleOptions => {
      // where the application keeps its runs, and its address, are no matter of a test
      const { schema: _, migrate: __, http, ...kept } = given;
      const calls = http?.calls && { calls: http.calls };
      const worker = { shutdownGrace: '500ms' as const, ...given.worker, ...rest.worker };
      const ours = { ...HTTP, ...calls, ...rest.http };
      return { ...kept, transport: 'in-process', ...rest, http: ours, ...storage, worker };
    };
    const providers: Provider[] = [
      BenchClock,
      { provide: CLOCK_OVERRIDE, useExisting: BenchClock },
      ReplayInspector,
      StepDoubles,
      { provide: Inspector, useExisting: ReplayInspector },
      { provide: RUNTIME_OVERRIDES, useValue: RUNTIME },
      { provide: OPTIONS_OVERRIDE, useValue: override },
      {
        provide: EMBEDDED_DUMP,
        useFactory: () => ('embedded' in storage.database! ? migratedDump() : undefined),
      },
    ];
    return {
      module: WorkflowTestingOverrides,
      global: true,
      imports: [DiscoveryModule],
      providers: own ? [...providers, { provide: OwnSchema, useValue: own }] : providers,
      exports: providers,
    };
  }
}
