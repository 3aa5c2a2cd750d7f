import type { LoggerService } from '@nestjs/common';
import { DataSource, TypeORMError } from 'typeorm';
import { WorkflowError } from '../errors/index.js';
import type { WorkflowDatabase } from '../workflow.options.js';
import { WORKFLOW_ENTITIES } from './entities/index.js';
import { MIGRATIONS_TABLE, migrateWorkflowTables } from './migrate.js';
import { workflowMigrations } from './migrations/index.js';
import { type ImportModule, loadModule } from './modules.js';
import type { PgModule } from './pglite/driver.js';
import { type EmbeddedDatabase, openEmbedded } from './pglite/embedded.js';
import { isConnectionError } from './query-errors.js';
import { DEFAULT_FOLDER, type PostgresOptions, resolveDatabase } from './resolve-database.js';
import { addressOf } from './server-url.js';
import { valueParsers } from './value-parsers.js';

export interface OpenOptions {
  /** see `WorkflowModuleOptions.database` */
  database?: WorkflowDatabase | undefined;
  /** schema of the tables, created when it is missing @default that of the connection */
  schema?: string | undefined;
  /** run pending migrations @default true */
  migrate?: boolean | undefined;
  /** the DataSource that `database.dataSource` names, else the application's default one; only its options are used */
  application?: DataSource | undefined;
  logger: LoggerService;
  /** an embedded database that does not exist yet starts from this dump */
  loadDataDir?: Blob | undefined;
  /** imports driver packages @default `import()` */
  load?: ImportModule | undefined;
}

const POOL_SIZE = 10;
/** connections to PGlite take turns, so more of them gain nothing */
const EMBEDDED_POOL_SIZE = 4;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Opens the library's own DataSource with its own pool, and migrates the tables. Of the application's DataSource only
 * the connection options are taken: its entities, naming strategy, subscribers and `synchronize` stay its own.
 * `destroy()` closes the pool, then embedded PGlite, and is idempotent.
 *
 * @throws WorkflowError WF_DATABASE_NOT_POSTGRES, WF_DRIVER_MISSING, WF_EMBEDDED_IN_PRODUCTION, WF_DATABASE_IN_USE,
 * WF_DATABASE_UNAVAILABLE, WF_MIGRATIONS_PENDING, WF_INVALID_OPTIONS. After an error nothing stays open.
 */
export async function openWorkflowDataSource(open: OpenOptions): Promise<DataSource> {
  const schema = checkSchema(open.schema);
  const choice = resolveDatabase(open.database, open.application);
  if (choice.kind === 'server') {
    const pg = await loadModule('pg', open.load);
    const options = serverOptions(choice.options, pg, choice.origin === 'application');
    return connect(withTables(options, schema), open, undefined);
  }
  if (choice.byDefault) {
    open.logger.warn(
      `No database is configured: workflows are kept by embedded PGlite in ${DEFAULT_FOLDER}/, for this process alone. ` +
        'Configure `database: { url }` or a TypeORM DataSource before production.',
    );
  }
  const embedded = await openEmbedded(choice.where, {
    ...(open.loadDataDir ? { loadDataDir: open.loadDataDir } : {}),
    ...(open.load ? { load: open.load } : {}),
  });
  const { driver } = embedded;
  const extra = { types: valueParsers(driver.types) };
  return connect(
    withTables({ type: 'postgres', driver, extra, poolSize: EMBEDDED_POOL_SIZE }, schema),
    open,
    embedded,
  );
}

/** True when trying again later may help: the database could not be reached. */
export const isRetryableBootError = (error: unknown): boolean =>
  WorkflowError.is(error, 'WF_DATABASE_UNAVAILABLE');

function checkSchema(schema: string | undefined): string | undefined {
  // TypeORM puts it into quoted names and splits those at dots
  if (schema === undefined || /^[^\s."'\\\0]{1,63}$/u.test(schema)) return schema;
  throw new WorkflowError(
    'WF_INVALID_OPTIONS',
    `\`schema\` ${JSON.stringify(schema)} is not a plain schema name`,
  );
}

/** The connection options of another DataSource, and nothing else of it. A replicated one is used by its master only. */
function serverOptions(given: PostgresOptions, pg: PgModule, derived: boolean): PostgresOptions {
  const { url, host, port, username, password, database, ssl } = given.replication?.master ?? given;
  const { schema, useUTC, connectTimeoutMS, extra, poolErrorHandler } = given;
  // pg itself as the driver keeps TypeORM from choosing pg-native, which has no named statements as ours
  const driver = (given.driver as PgModule | undefined) ?? {
    Pool: pg.Pool,
    Client: pg.Client,
    types: pg.types,
    defaults: pg.defaults,
  };
  const chosen = {
    url,
    host,
    port,
    username,
    password,
    database,
    ssl,
    schema,
    useUTC,
    poolErrorHandler,
    driver,
    connectTimeoutMS: connectTimeoutMS ?? CONNECT_TIMEOUT_MS,
    poolSize: given.poolSize ?? POOL_SIZE,
    applicationName: (derived ? undefined : given.applicationName) ?? 'nestjs-workflow',
    extra: {
      keepAlive: true,
      // the machine of the database may die without a word; the system would find out after two hours
      keepAliveInitialDelayMillis: 10_000,
      ...(extra as object | undefined),
      ...(derived ? { application_name: 'nestjs-workflow' } : {}),
      types: valueParsers(driver.types ?? pg.types),
    },
  };
  const defined = Object.entries(chosen).filter(([, value]) => value !== undefined);
  return { type: 'postgres', ...Object.fromEntries(defined) } as PostgresOptions;
}

const withTables = (options: PostgresOptions, schema: string | undefined): PostgresOptions => ({
  ...options,
  ...(schema === undefined ? {} : { schema }),
  entities: WORKFLOW_ENTITIES,
  migrations: workflowMigrations,
  migrationsTableName: MIGRATIONS_TABLE,
  subscribers: [],
  synchronize: false,
  migrationsRun: false,
  dropSchema: false,
  installExtensions: false,
  // errors are told by who gets them; TypeORM's own log would tell them twice
  logging: false,
});

async function connect(
  options: PostgresOptions,
  open: OpenOptions,
  embedded: EmbeddedDatabase | undefined,
): Promise<DataSource> {
  // an idle connection that breaks is no news: the pool opens another one. Without a listener it would end the process.
  const poolErrorHandler = (error: Error): void => {
    (options.poolErrorHandler as ((error: Error) => void) | undefined)?.(error);
    open.logger.debug?.(`An idle database connection was lost: ${error.message}`);
  };
  let source: DataSource | undefined;
  try {
    source = closingOnce(new DataSource({ ...options, poolErrorHandler }), embedded);
    await source.initialize();
    const done = await migrateWorkflowTables(source, { migrate: open.migrate });
    if (done.length > 0) open.logger.log(`Workflow tables migrated: ${done.join(', ')}`);
    return source;
  } catch (error) {
    const initialized = source?.isInitialized ?? false;
    await (source ? source.destroy() : embedded?.close())?.catch(() => undefined); // the first error is the one that tells
    throw initialized && !isConnectionError(error) ? error : unavailable(error, options, embedded);
  }
}

function closingOnce(source: DataSource, embedded: EmbeddedDatabase | undefined): DataSource {
  const destroy = source.destroy.bind(source);
  let closing: Promise<void> | undefined;
  source.destroy = () =>
    (closing ??= (async () => {
      try {
        if (source.isInitialized) await destroy();
        // a boot that failed between opening the pool and being initialized
        else if ((source.driver as { master?: unknown }).master) await source.driver.disconnect();
      } finally {
        await embedded?.close();
      }
    })());
  return source;
}

/** Errors made on the way to the server, with its address and without its password. */
function unavailable(
  error: unknown,
  options: PostgresOptions,
  embedded: EmbeddedDatabase | undefined,
): unknown {
  if (error instanceof WorkflowError || error instanceof TypeORMError) {
    if (!isConnectionError(error)) return error;
  }
  const { host, port, database } = addressOf(options);
  const where = embedded
    ? `The embedded database (${embedded.where})`
    : `PostgreSQL at ${host}:${port}, database "${database}",`;
  const { message, code } = error as NodeJS.ErrnoException;
  // an AggregateError (several addresses of one host) has a code and no message
  const reason = message || code || String(error);
  return new WorkflowError('WF_DATABASE_UNAVAILABLE', `${where} cannot be reached: ${reason}`, {
    cause: error,
  });
}
