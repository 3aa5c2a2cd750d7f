import type { DataSource, DataSourceOptions } from 'typeorm';
import { given } from '../engine/given.js';
import { shown } from '../engine/shown.js';
import { WorkflowError } from '../errors/index.js';
import type { WorkflowDatabase } from '../workflow.options.js';
import { checkServerUrl } from './server-url.js';

/** TypeORM 0.3 and 1 name this interface differently. */
export type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

export const DEFAULT_FOLDER = '.workflow';

/** What to connect to. */
export type DatabaseChoice =
  | {
      readonly kind: 'server';
      readonly options: PostgresOptions;
      readonly origin: 'url' | 'application' | 'options';
    }
  | { readonly kind: 'embedded'; readonly where: string; readonly byDefault: boolean };

/**
 * Which database, first that applies: what `database` says; the application's DataSource; embedded in `.workflow/`.
 *
 * @param application the DataSource that `database.dataSource` names, else the application's default one
 * @throws WorkflowError WF_DATABASE_NOT_POSTGRES, WF_EMBEDDED_IN_PRODUCTION, WF_INVALID_OPTIONS
 */
export function resolveDatabase(
  database: WorkflowDatabase | undefined,
  application: DataSource | undefined,
  environment: string | undefined = process.env.NODE_ENV,
): DatabaseChoice {
  if (database === undefined || database === null) {
    if (application) return ofApplication(application);
    if (environment !== 'production') return { kind: 'embedded', where: DEFAULT_FOLDER, byDefault: true };
    throw new WorkflowError(
      'WF_EMBEDDED_IN_PRODUCTION',
      'No database is configured, and NODE_ENV is "production"',
    );
  }
  if (typeof database !== 'object') throw invalid('is not an object');
  return given('Option `database`', () => chosen(database, application), 'WF_INVALID_OPTIONS');
}

function chosen(database: WorkflowDatabase, application: DataSource | undefined): DatabaseChoice {
  if ('type' in database) {
    const url = (database as { url?: unknown }).url;
    const options = requirePostgres(database, '`database`');
    if (url !== undefined) checkServerUrl(url);
    return { kind: 'server', options, origin: 'options' };
  }
  if ('url' in database) {
    return {
      kind: 'server',
      options: { type: 'postgres', url: checkServerUrl(database.url) },
      origin: 'url',
    };
  }
  if ('dataSource' in database) {
    if (application) return ofApplication(application);
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      `There is no TypeORM DataSource named ${shown(database.dataSource)}`,
    );
  }
  if ('embedded' in database) {
    const { embedded } = database;
    if (typeof embedded !== 'string' || embedded === '')
      throw invalid("needs a folder or 'memory' in `embedded`");
    return { kind: 'embedded', where: embedded, byDefault: false };
  }
  throw invalid('names no database');
}

const invalid = (what: string): WorkflowError =>
  new WorkflowError(
    'WF_INVALID_OPTIONS',
    `\`database\` ${what}; it is one of { url }, { dataSource }, { embedded } or TypeORM's DataSourceOptions`,
  );

const ofApplication = (application: DataSource): DatabaseChoice => ({
  kind: 'server',
  options: requirePostgres(application.options, "The application's DataSource"),
  origin: 'application',
});

function requirePostgres(options: DataSourceOptions, whose: string): PostgresOptions {
  if (options.type === 'postgres') return options as PostgresOptions;
  throw new WorkflowError('WF_DATABASE_NOT_POSTGRES', `${whose} is of type ${shown(options.type)}`);
}
