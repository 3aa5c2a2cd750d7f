import {
  Injectable,
  Module,
  type CanActivate,
  type DynamicModule,
  type INestApplication,
  type INestApplicationContext,
} from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { Column, DataSource, DefaultNamingStrategy, Entity, EventSubscriber, PrimaryColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  WorkflowScheduler,
  type WorkflowModuleOptions,
  type WorkflowOptionsFactory,
} from 'nestjs-workflow';
import { CONTENT_TYPE } from '../../lib/http/index.js';
import { createEmptyPostgres, createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import { recordingLogger, silentLogger } from '../support/silent-logger.js';
import { overrides, startApp } from '../client/support.js';

@Injectable()
class Steps {
  readonly executed: string[] = [];
  @Step()
  async work(what: string): Promise<string> {
    this.executed.push(what);
    return `worked on ${what}`;
  }
}

@Workflow({ name: 'works' })
class Works {
  constructor(readonly steps: Steps) {}
  async run(ctx: WorkflowContext<string>): Promise<string[]> {
    return Promise.all([this.steps.work(`${ctx.payload} 1`), this.steps.work(`${ctx.payload} 2`)]);
  }
}

@Injectable()
class DenyAll implements CanActivate {
  canActivate(): boolean {
    return false;
  }
}

const PROVIDERS = [Works, Steps];

let db: TestDatabase;
beforeAll(async () => {
  db = await createPostgres();
});
afterAll(() => db?.dispose());

const open: INestApplicationContext[] = [];
afterEach(async () => {
  for (const app of open.splice(0).toReversed()) await app.close();
});

type Imports = DynamicModule['imports'];
const moduleOf = (imports: Imports, providers: DynamicModule['providers'] = PROVIDERS): DynamicModule => {
  @Module({})
  class App {
    readonly name = 'app';
  }
  return { module: App, imports, providers };
};

interface Started {
  readonly app: INestApplication;
  readonly lines: readonly string[];
}

async function listen(
  imports: Imports,
  setup: (app: INestApplication) => void = () => undefined,
  options: { fastify?: boolean; providers?: DynamicModule['providers'] } = {},
): Promise<Started> {
  const logger = recordingLogger();
  const module = moduleOf(imports, options.providers);
  const app = options.fastify
    ? await NestFactory.create(module, new FastifyAdapter(), { logger, abortOnError: false })
    : await NestFactory.create(module, { logger, abortOnError: false });
  open.push(app);
  setup(app);
  await app.listen(0, '127.0.0.1');
  return { app, lines: logger.lines };
}

const warnings = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith('warn'));
const quick = { shutdownGrace: '200ms' } as const;
const base = (): WorkflowModuleOptions => ({ database: db.options, worker: quick });

/** A run goes end to end, in the application that was asked. */
async function works(app: INestApplicationContext, id: string): Promise<void> {
  const run = await app.get(WorkflowClient, { strict: false }).trigger(Works, id, { runId: id });
  expect(await run.result({ timeout: '15s' })).toEqual([`worked on ${id} 1`, `worked on ${id} 2`]);
  const executed = app.get(Steps).executed.filter((what) => what.startsWith(`${id} `));
  expect(executed.toSorted()).toEqual([`${id} 1`, `${id} 2`]);
}

const transportOf = (app: INestApplicationContext): string | undefined =>
  app.get(WorkflowScheduler, { strict: false }).transport;

describe('the module in an application that listens', () => {
  it('calls steps over HTTP, without a warning and without configuration', async () => {
    const { app, lines } = await listen([WorkflowModule.forRoot(base())]);
    await works(app, 'plain');
    expect(transportOf(app)).toBe('http');
    expect(warnings(lines)).toEqual([]);
  });

  it.each<
    [string, (app: INestApplication) => void, { fastify?: boolean; providers?: DynamicModule['providers'] }]
  >([
    ['a global prefix', (app) => app.setGlobalPrefix('api/v1'), {}],
    ['Fastify', () => undefined, { fastify: true }],
    ['Fastify and a global prefix', (app) => app.setGlobalPrefix('api'), { fastify: true }],
    [
      'a global guard that denies everything',
      () => undefined,
      { providers: [...PROVIDERS, { provide: APP_GUARD, useClass: DenyAll }] },
    ],
    [
      'a global guard that denies everything, on Fastify',
      () => undefined,
      { fastify: true, providers: [...PROVIDERS, { provide: APP_GUARD, useClass: DenyAll }] },
    ],
  ])('does so behind %s', async (what, setup, options) => {
    const { app, lines } = await listen([WorkflowModule.forRoot(base())], setup, options);
    await works(app, what);
    expect(transportOf(app)).toBe('http');
    expect(warnings(lines)).toEqual([]);
  });

  it('answers on its path, and there alone', async () => {
    const { app } = await listen([WorkflowModule.forRoot({ ...base(), path: 'hooks/wf' })]);
    const url = await app.getUrl();
    const post = async (path: string): Promise<number> =>
      (
        await fetch(`${url}/${path}`, {
          method: 'POST',
          headers: { 'content-type': CONTENT_TYPE },
          body: '{}',
        })
      ).status;
    expect([await post('hooks/wf/deliver'), await post('workflow/deliver')]).toEqual([401, 404]);
    await works(app, 'path');
  });

  it('uses the configured url when it leads back here', async () => {
    const http = { signingKey: 'a-signing-key-for-tests-of-32-or-more-characters' };
    const { app: first } = await listen([WorkflowModule.forRoot({ ...base(), http, worker: false })]);
    const url = await first.getUrl();
    const { app } = await listen([WorkflowModule.forRoot({ ...base(), http: { ...http, url } })]);
    const client = app.get(WorkflowClient);
    const run = await client.trigger(Works, 'over there', { runId: 'over there' });
    expect(await run.result({ timeout: '15s' })).toHaveLength(2);
    // this one drives; the other one, to which the url leads, executes
    expect(app.get(Steps).executed).toEqual([]);
    expect(first.get(Steps).executed.toSorted()).toEqual(['over there 1', 'over there 2']);
  });

  it('stands beside another application of the same process, each with its own path and database', async () => {
    const other = await createPostgres();
    try {
      const one = await listen([WorkflowModule.forRoot({ ...base(), path: 'one' })]);
      const two = await listen([
        WorkflowModule.forRoot({ database: other.options, worker: quick, path: 'two' }),
      ]);
      await Promise.all([works(one.app, 'in one'), works(two.app, 'in two')]);
      expect(one.app.get(Steps).executed.toSorted()).toEqual(['in one 1', 'in one 2']);
      expect(two.app.get(Steps).executed.toSorted()).toEqual(['in two 1', 'in two 2']);
      await expect(two.app.get(WorkflowClient).get('in one')).rejects.toMatchObject({
        code: 'WF_RUN_NOT_FOUND',
      });
      for (const { app } of [one, two]) await app.close();
      open.length = 0;
    } finally {
      await other.dispose();
    }
  });
});

describe.each(DATABASES)('the module without a server, on $name', ({ name, create }) => {
  let own: TestDatabase;
  beforeAll(async () => {
    own = await create();
  });
  afterAll(() => own?.dispose());

  const noServer =
    "No HTTP server is listening: steps run in-process. Say `transport: 'in-process'` if that is meant.";

  it('in an application that is only initialized goes in-process, and warns once', async () => {
    const logger = recordingLogger();
    const module = WorkflowModule.forRoot({ database: own.options, worker: quick });
    const test = await startApp(own, { module, providers: PROVIDERS, logger });
    open.push(test.app);
    await works(test.app, `${name} initialized`);
    expect(transportOf(test.app)).toBe('in-process');
    expect(warnings(logger.lines)).toEqual([`warn: ${noServer}`]);
  });

  it('in an application context goes in-process at once, and warns once', async () => {
    const logger = recordingLogger();
    const module = WorkflowModule.forRoot({ database: own.options, worker: quick });
    const app = await NestFactory.createApplicationContext(moduleOf([overrides(own), module]), {
      logger,
      abortOnError: false,
    });
    open.push(app);
    await works(app, `${name} context`);
    expect(transportOf(app)).toBe('in-process');
    expect(warnings(logger.lines)).toEqual([`warn: ${noServer}`]);
  });

  it('by choice goes in-process without a word, server or not', async () => {
    const logger = recordingLogger();
    const test = await startApp(own, {
      workflow: { transport: 'in-process' },
      providers: PROVIDERS,
      logger,
      listen: true,
    });
    open.push(test.app);
    await works(test.app, `${name} chosen`);
    expect(transportOf(test.app)).toBe('in-process');
    expect(warnings(logger.lines)).toEqual([]);
  });
});

describe('the options of the module', () => {
  @Injectable()
  class Settings {
    get database(): WorkflowModuleOptions['database'] {
      return db.options;
    }
  }
  @Module({ providers: [Settings], exports: [Settings] })
  class SettingsModule {
    readonly name = 'settings';
  }
  @Injectable()
  class OptionsFactory implements WorkflowOptionsFactory {
    async createWorkflowOptions(): Promise<WorkflowModuleOptions> {
      return { ...base(), transport: 'in-process' };
    }
  }
  @Module({ providers: [OptionsFactory], exports: [OptionsFactory] })
  class FactoryModule {
    readonly name = 'factory';
  }

  it.each<[string, () => DynamicModule]>([
    [
      'useFactory, with what it injects',
      () =>
        WorkflowModule.forRootAsync({
          imports: [SettingsModule],
          inject: [Settings],
          useFactory: async (settings: Settings) => ({
            database: settings.database!,
            transport: 'in-process' as const,
            worker: quick,
          }),
        }),
    ],
    ['useClass', () => WorkflowModule.forRootAsync({ useClass: OptionsFactory })],
    [
      'useExisting',
      () => WorkflowModule.forRootAsync({ imports: [FactoryModule], useExisting: OptionsFactory }),
    ],
  ])('come out of %s', async (how, make) => {
    const { app } = await listen([make()]);
    await works(app, how);
    expect(transportOf(app)).toBe('in-process');
  });

  it('have path and isGlobal beside the factory', async () => {
    @Injectable()
    class Elsewhere {
      constructor(readonly client: WorkflowClient) {}
    }
    @Module({ providers: [Elsewhere], exports: [Elsewhere] })
    class ElsewhereModule {
      readonly name = 'elsewhere';
    }
    const { app } = await listen([
      ElsewhereModule,
      WorkflowModule.forRootAsync({ path: 'jobs', isGlobal: true, useFactory: base }),
    ]);
    expect(app.get(Elsewhere, { strict: false }).client).toBe(app.get(WorkflowClient));
    await works(app, 'beside the factory');
    const { status } = await fetch(`${await app.getUrl()}/jobs/deliver`, { method: 'POST' });
    expect(status).not.toBe(404);
  });

  it('without isGlobal give the client to those who import the module', async () => {
    @Injectable()
    class Elsewhere {
      constructor(readonly client: WorkflowClient) {}
    }
    @Module({ providers: [Elsewhere] })
    class ElsewhereModule {
      readonly name = 'elsewhere';
    }
    const app = NestFactory.create(moduleOf([ElsewhereModule, WorkflowModule.forRoot(base())]), {
      logger: silentLogger,
      abortOnError: false,
    });
    await expect(app).rejects.toThrow(/resolve dependencies of the Elsewhere/);
  });
});

describe("the application's own database", () => {
  @Entity('order')
  class Order {
    @PrimaryColumn('text') id!: string;
    @Column('text') customerName!: string;
  }
  let shared: TestDatabase;
  beforeAll(async () => {
    shared = await createEmptyPostgres();
  });
  afterAll(() => shared?.dispose());

  const heard: string[] = [];
  @EventSubscriber()
  class Subscriber {
    afterInsert(event: { metadata: { tableName: string } }): void {
      heard.push(event.metadata.tableName);
    }
  }
  class Shouting extends DefaultNamingStrategy {
    override tableName(target: string, given: string | undefined): string {
      return (given ?? target).toUpperCase();
    }
    override columnName(property: string): string {
      return property.toUpperCase();
    }
  }
  const typeOrm = (name?: string): DynamicModule =>
    TypeOrmModule.forRoot({
      ...(name !== undefined && { name }),
      type: 'postgres',
      url: shared.url!,
      entities: [Order],
      subscribers: [Subscriber],
      namingStrategy: new Shouting(),
      synchronize: true,
    });

  /** Gives the result of a run that was started in a transaction of the application's own. */
  async function sharing(app: INestApplication, id: string, source: DataSource): Promise<unknown> {
    await works(app, id);
    // in the tables of that database, whatever names and listeners the application has for its own
    expect(await source.query('select status from workflow_run where run_id = $1', [id])).toEqual([
      { status: 'completed' },
    ]);
    await source.getRepository(Order).save({ id, customerName: 'Ada' });
    expect(heard).toEqual(['ORDER']);
    heard.length = 0;
    const entities = source.entityMetadatas.map(({ tableName }) => tableName);
    expect(entities).toEqual(['ORDER']);
    const together = await source.transaction(async (manager) => {
      await manager.query(`update "ORDER" set "CUSTOMERNAME" = 'Grace' where "ID" = $1`, [id]);
      return app.get(WorkflowClient).trigger(Works, `${id} together`, { manager });
    });
    heard.length = 0;
    return together.result({ timeout: '15s' });
  }

  it('is the default DataSource when nothing else is said', async () => {
    const { app, lines } = await listen([typeOrm(), WorkflowModule.forRoot({ worker: quick })]);
    expect(await sharing(app, 'default', app.get(DataSource))).toHaveLength(2);
    expect(warnings(lines)).toEqual([]);
  });

  it.each<[string, () => DynamicModule]>([
    ['dataSource', () => WorkflowModule.forRoot({ dataSource: 'orders', worker: quick })],
    [
      'database.dataSource',
      () => WorkflowModule.forRoot({ database: { dataSource: 'orders' }, worker: quick }),
    ],
    [
      'dataSource beside a factory',
      () => WorkflowModule.forRootAsync({ dataSource: 'orders', useFactory: () => ({ worker: quick }) }),
    ],
  ])('is a named one by `%s`', async (how, make) => {
    const { app } = await listen([typeOrm('orders'), make()]);
    const orders = app.get<DataSource>(getDataSourceToken('orders'));
    expect(await sharing(app, how, orders)).toHaveLength(2);
  });
});
