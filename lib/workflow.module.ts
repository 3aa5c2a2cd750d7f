import {
  Inject,
  Logger,
  Module,
  type DynamicModule,
  type MiddlewareConsumer,
  type NestModule,
  type Provider,
} from '@nestjs/common';
import { ApplicationConfig, DiscoveryModule, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import {
  WorkflowCommands,
  ResultWaiter,
  WorkflowClient,
  WorkflowFlowControls,
  WorkflowSchedules,
  WorkflowWebhooks,
} from './client/index.js';
import { DevalueCodec } from './codec/devalue.codec.js';
import { given } from './engine/given.js';
import { WorkflowError } from './errors/index.js';
import {
  AddressGuard,
  answerBeforeParsers,
  applyCallbackMiddleware,
  applyWebhookMiddleware,
  CallClient,
  CallbackEndpoint,
  CallbackMiddleware,
  createCallbackController,
  createSigningKeys,
  createWebhookController,
  MessageSigner,
  MessageVerifier,
  OwnConnections,
  OwnAddress,
  PublicWebhookUrls,
  SigningKeys,
  WebhookEndpoint,
  WebhookMiddleware,
} from './http/index.js';
import {
  CallPerformer,
  Chance,
  Clock,
  Codec,
  HeartbeatThread,
  RunEffects,
  RunIntake,
  RunStore,
  ScheduleStore,
  SignalChannel,
  WebhookIntake,
  WebhookUrls,
} from './ports/index.js';
import { WorkflowExplorer, WorkflowRegistry } from './registry/index.js';
import { ActivationCache } from './runtime/activation-cache.js';
import { ActivationFactory } from './runtime/activation-factory.js';
import { Aftermath } from './runtime/aftermath.js';
import { CallTasks } from './runtime/call-tasks.js';
import { Capacity } from './runtime/capacity.js';
import { RuntimeConfig } from './runtime/config.js';
import { DeclaredSchedules } from './runtime/declared-schedules.js';
import { DeliveryExecutor } from './runtime/delivery-executor.js';
import { LocalDeliveries, RemoteDeliveries } from './runtime/delivery-handlers.js';
import { ExternalCalls } from './runtime/external-calls.js';
import { TaskIntake } from './runtime/intake.js';
import { WokenRuns } from './runtime/woken-runs.js';
import { JournalWriter } from './runtime/journal-writer.js';
import { Leases } from './runtime/leases.js';
import { LocalEnds } from './runtime/local-ends.js';
import { ScheduledRuns } from './runtime/scheduled-runs.js';
import { WorkflowScheduler } from './runtime/scheduler.js';
import { ScheduleRunner } from './runtime/schedules.js';
import { RunDeliveries } from './runtime/run-deliveries.js';
import { Signals } from './runtime/signals.js';
import { LeftSteps } from './runtime/left-steps.js';
import { StepAnswers } from './runtime/step-answers.js';
import { StepDeliveries } from './runtime/step-deliveries.js';
import { StepRunner } from './runtime/step-runner.js';
import { SystemChance } from './runtime/system-chance.js';
import { Takeovers } from './runtime/takeovers.js';
import { SystemClock } from './runtime/system-clock.js';
import { Database } from './typeorm/database.js';
import { PgHeartbeatThread } from './typeorm/pg-heartbeat-thread.js';
import { PgSignalChannel } from './typeorm/pg-signal-channel.js';
import { TypeOrmScheduleStore } from './typeorm/schedule.store.js';
import { StatementSender } from './typeorm/statement-sender.js';
import { tablesOf } from './typeorm/tables.js';
import { TypeOrmRunStore } from './typeorm/typeorm.store.js';
import { moduleOptions, resolveConfig } from './workflow.config.js';
import { WorkflowLifecycle } from './workflow.lifecycle.js';
import type { WorkflowModuleAsyncOptions } from './workflow.async-options.js';
import type { WorkflowModuleExtras, WorkflowModuleOptions } from './workflow.options.js';
import { dataSourceIn, persistence } from './workflow.persistence.js';
import {
  CLOCK_OVERRIDE,
  ConfigurableModuleClass,
  GIVEN_OPTIONS,
  OPTIONS_OVERRIDE,
  RUNTIME_OVERRIDES,
  WORKFLOW_DATA_SOURCE,
  WORKFLOW_OPTIONS,
  WORKFLOW_PATH,
} from './workflow.tokens.js';

/** Holds the options, so that the DataSource and the engine are given the same ones. */
@Module({})
class WorkflowOptionsModule extends ConfigurableModuleClass {}

const EFFECTIVE_OPTIONS: Provider = {
  provide: WORKFLOW_OPTIONS,
  inject: [ModulesContainer, GIVEN_OPTIONS, { token: OPTIONS_OVERRIDE, optional: true }],
  useFactory: (
    modules: ModulesContainer,
    given: WorkflowModuleOptions,
    override?: (given: WorkflowModuleOptions) => WorkflowModuleOptions,
  ) => {
    // here, as everything else asks for the options: nothing is opened yet
    refuseSeveral(modules);
    const options = override?.(given) ?? given;
    // before anybody reads an option of them
    resolveConfig(options);
    return options;
  },
};

/** Each would bring a scheduler and a client of its own, and all of them find the same workflows. */
function refuseSeveral(modules: ModulesContainer): void {
  const imported = [...modules.values()].filter(({ metatype }) => metatype === WorkflowModule).length;
  if (imported > 1) {
    throw new WorkflowError(
      'WF_DUPLICATE_MODULE',
      `WorkflowModule is imported from ${imported} calls of \`forRoot()\` or \`forRootAsync()\` in one application`,
    );
  }
}

const schemaOf = (source: DataSource): string | undefined => (source.options as { schema?: string }).schema;

const PROVIDERS: Provider[] = [
  {
    provide: RuntimeConfig,
    inject: [WORKFLOW_OPTIONS, { token: RUNTIME_OVERRIDES, optional: true }],
    useFactory: resolveConfig,
  },
  {
    provide: Clock,
    inject: [{ token: CLOCK_OVERRIDE, optional: true }],
    useFactory: (clock = new SystemClock()) => clock,
  },
  { provide: Chance, useClass: SystemChance },
  {
    provide: Codec,
    inject: [RuntimeConfig],
    useFactory: (config: RuntimeConfig) => new DevalueCodec({ maxBytes: config.maxPayloadBytes }),
  },
  {
    provide: Database,
    inject: [getDataSourceToken(WORKFLOW_DATA_SOURCE)],
    useFactory: (source: DataSource) => new Database(source),
  },
  {
    provide: RunStore,
    inject: [Database, Clock],
    useFactory: (database: Database, clock: Clock) =>
      new TypeOrmRunStore(database, tablesOf(schemaOf(database.source)), clock),
  },
  {
    provide: ScheduleStore,
    inject: [Database, Clock, RunStore],
    useFactory: (database: Database, clock: Clock, runs: RunStore) =>
      new TypeOrmScheduleStore(
        new StatementSender(database, tablesOf(schemaOf(database.source)), clock),
        runs,
      ),
  },
  {
    provide: SignalChannel,
    inject: [Database],
    useFactory: (database: Database) => new PgSignalChannel(database, schemaOf(database.source)),
  },
  {
    provide: HeartbeatThread,
    inject: [Database],
    useFactory: (database: Database) =>
      new PgHeartbeatThread(database, tablesOf(schemaOf(database.source)), new Logger('Workflow')),
  },
  WorkflowRegistry,
  WorkflowExplorer,
  JournalWriter,
  StepRunner,
  Signals,
  Leases,
  Capacity,
  WokenRuns,
  Aftermath,
  LocalEnds,
  { provide: RunIntake, useClass: TaskIntake },
  WorkflowCommands,
  { provide: RunEffects, useExisting: WorkflowCommands },
  ActivationCache,
  ActivationFactory,
  RunDeliveries,
  StepDeliveries,
  StepAnswers,
  LeftSteps,
  DeliveryExecutor,
  LocalDeliveries,
  RemoteDeliveries,
  WorkflowScheduler,
  Takeovers,
  DeclaredSchedules,
  ScheduledRuns,
  ScheduleRunner,
  ResultWaiter,
  WorkflowSchedules,
  WorkflowFlowControls,
  WorkflowClient,
  {
    provide: SigningKeys,
    inject: [WORKFLOW_OPTIONS],
    useFactory: ({ http }: WorkflowModuleOptions) => {
      const read = given('Option `http`', () => ({ ...http }), 'WF_INVALID_OPTIONS');
      const url = read.url ?? read.publicUrl;
      return createSigningKeys({ ...read, ...(url !== undefined && { url }) });
    },
  },
  {
    provide: MessageSigner,
    inject: [SigningKeys],
    useFactory: (keys: SigningKeys) => new MessageSigner(keys),
  },
  {
    provide: MessageVerifier,
    inject: [SigningKeys],
    useFactory: (keys: SigningKeys) => new MessageVerifier(keys),
  },
  OwnConnections,
  {
    provide: CallbackEndpoint,
    inject: [RemoteDeliveries, MessageVerifier, Leases, DeliveryExecutor, OwnConnections],
    useFactory: (
      handler: RemoteDeliveries,
      verifier: MessageVerifier,
      leases: Leases,
      executor: DeliveryExecutor,
      own: OwnConnections,
    ) =>
      new CallbackEndpoint(handler, verifier, {
        instance: leases.worker,
        own,
        closing: () => executor.closing,
      }),
  },
  CallbackMiddleware,
  {
    provide: CallPerformer,
    inject: [WORKFLOW_OPTIONS, RuntimeConfig, Clock],
    useFactory: ({ http }: WorkflowModuleOptions, { calls }: RuntimeConfig, clock: Clock) =>
      new CallClient({
        guard: new AddressGuard(http?.calls ?? {}),
        clock,
        maxResponseBytes: calls.maxResponseBytes,
      }),
  },
  { provide: CallTasks, useClass: ExternalCalls },
  { provide: WebhookIntake, useClass: WorkflowWebhooks },
  {
    provide: WebhookUrls,
    inject: [WORKFLOW_OPTIONS, WORKFLOW_PATH, ApplicationConfig],
    useFactory: ({ http }: WorkflowModuleOptions, path: string, config: ApplicationConfig) =>
      new PublicWebhookUrls(http?.publicUrl, path, config),
  },
  {
    provide: WebhookEndpoint,
    inject: [WebhookIntake, RuntimeConfig],
    useFactory: (intake: WebhookIntake, config: RuntimeConfig) =>
      new WebhookEndpoint(intake, { maxBodyBytes: config.maxPayloadBytes }),
  },
  WebhookMiddleware,
  OwnAddress,
  WorkflowLifecycle,
];

const EXPORTS: NonNullable<DynamicModule['exports']> = [
  WorkflowClient,
  WorkflowSchedules,
  WorkflowFlowControls,
  WorkflowScheduler,
  WorkflowRegistry,
];

/**
 * Durable workflows in the application's own PostgreSQL. Finds every provider marked @Workflow, mounts the controllers of
 * callbacks and webhooks, starts when the application has bootstrapped and drains when it shuts down.
 */
@Module({})
export class WorkflowModule implements NestModule {
  constructor(
    @Inject(WORKFLOW_PATH) private readonly path: string,
    @Inject(WebhookEndpoint) private readonly webhooks: WebhookEndpoint,
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(ApplicationConfig) private readonly config: ApplicationConfig,
  ) {}

  static forRoot(options: WorkflowModuleOptions & WorkflowModuleExtras = {}): DynamicModule {
    const { path, isGlobal, dataSource, ...rest } = moduleOptions(options);
    const named = dataSourceIn(rest.database) ?? dataSource;
    return build(WorkflowOptionsModule.forRoot(rest), { path, isGlobal, dataSource: named });
  }

  static forRootAsync(options: WorkflowModuleAsyncOptions): DynamicModule {
    const { path, isGlobal, dataSource, ...rest } = moduleOptions(options);
    return build(
      WorkflowOptionsModule.forRootAsync(rest as Parameters<typeof WorkflowOptionsModule.forRootAsync>[0]),
      { path, isGlobal, dataSource },
    );
  }

  configure(consumer: MiddlewareConsumer): void {
    applyCallbackMiddleware(consumer, this.path);
    applyWebhookMiddleware(consumer, this.path);
    answerBeforeParsers(this.host, this.config, this.webhooks, this.path);
  }
}

function build(
  options: DynamicModule,
  extras: { [K in keyof WorkflowModuleExtras]: WorkflowModuleExtras[K] | undefined },
): DynamicModule {
  const path = extras.path ?? 'workflow';
  const optionsModule: DynamicModule = {
    ...options,
    providers: [...(options.providers ?? []), EFFECTIVE_OPTIONS],
    exports: [WORKFLOW_OPTIONS],
  };
  return {
    module: WorkflowModule,
    global: extras.isGlobal ?? false,
    imports: [DiscoveryModule, optionsModule, ...persistence(optionsModule, extras.dataSource)],
    controllers: [createCallbackController(path), createWebhookController(path)],
    providers: [{ provide: WORKFLOW_PATH, useValue: path }, ...PROVIDERS],
    exports: EXPORTS,
  };
}
