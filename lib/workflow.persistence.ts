import { Logger, type DynamicModule } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule, type TypeOrmModuleOptions } from '@nestjs/typeorm';
import type { DataSource, DataSourceOptions } from 'typeorm';
import { given } from './engine/given.js';
import { shown } from './engine/shown.js';
import { WorkflowError } from './errors/index.js';
import { isRetryableBootError, openWorkflowDataSource, type OpenOptions } from './typeorm/data-source.js';
import { WORKFLOW_ENTITIES } from './typeorm/entities/index.js';
import type { WorkflowDatabase, WorkflowModuleOptions } from './workflow.options.js';
import { WORKFLOW_DATA_SOURCE, WORKFLOW_OPTIONS } from './workflow.tokens.js';

/** Times the database is waited for at boot, and how long between two of them. */
const BOOT_TRIES = 10;
const BOOT_DELAY_MS = 3000;

/** Dump of a migrated embedded database, to start from; provided by the test bench alone. */
export const EMBEDDED_DUMP = Symbol('nestjs-workflow:embedded-dump');

/**
 * The library's own DataSource beside the application's: derived from it, with our entities, our migrations and its own pool.
 * @param optionsModule exports the options; the same object must be imported by the main module, or Nest makes it twice
 * @param dataSource name of the application's DataSource to derive from; undefined for its default one
 */
export function persistence(optionsModule: DynamicModule, dataSource: string | undefined): DynamicModule[] {
  return [
    TypeOrmModule.forRootAsync({
      name: WORKFLOW_DATA_SOURCE,
      imports: [optionsModule],
      inject: [
        WORKFLOW_OPTIONS,
        { token: getDataSourceToken(dataSource), optional: true },
        { token: EMBEDDED_DUMP, optional: true },
      ],
      useFactory: (
        options: WorkflowModuleOptions,
        application?: DataSource,
        dump?: Blob,
      ): TypeOrmModuleOptions => {
        const open: OpenOptions = {
          ...checked(options, dataSource, application),
          application,
          loadDataDir: dump,
          logger: new Logger('Workflow'),
        };
        return {
          type: 'postgres',
          // @nestjs/typeorm 11 looks the DataSource up by this name when it closes it
          name: WORKFLOW_DATA_SOURCE,
          open,
          retryAttempts: BOOT_TRIES,
          retryDelay: BOOT_DELAY_MS,
          toRetry: isRetryableBootError,
        } as TypeOrmModuleOptions;
      },
      dataSourceFactory: async (options) =>
        openWorkflowDataSource((options as DataSourceOptions & { open: OpenOptions }).open),
    }),
    TypeOrmModule.forFeature([...WORKFLOW_ENTITIES], WORKFLOW_DATA_SOURCE),
  ];
}

/** The name in `{ dataSource }`; whatever else was given is judged when it is opened. */
export const dataSourceIn = (database: WorkflowDatabase | undefined): string | undefined => {
  if (typeof database !== 'object' || database === null) return undefined;
  const name = given(
    'Option `database`',
    (): unknown => ('dataSource' in database ? database.dataSource : undefined),
    'WF_INVALID_OPTIONS',
  );
  if (name === undefined || typeof name === 'string') return name;
  throw new WorkflowError(
    'WF_INVALID_OPTIONS',
    `Option \`database.dataSource\` is ${shown(name)}; it must be a text`,
  );
};

function checked(
  options: WorkflowModuleOptions,
  name: string | undefined,
  application: DataSource | undefined,
): Pick<OpenOptions, 'database' | 'schema' | 'migrate'> {
  const { database, schema, migrate } = options;
  const asked = dataSourceIn(database);
  if (asked !== undefined && asked !== name) {
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      `\`database.dataSource\` "${asked}" comes out of a factory; give \`dataSource: '${asked}'\` beside it`,
    );
  }
  if (name !== undefined && !application) {
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      `There is no TypeORM DataSource named "${name}" in this application`,
    );
  }
  return { database, schema, migrate };
}
