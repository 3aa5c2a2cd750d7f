import { type DataSource, MigrationExecutor, type QueryRunner } from 'typeorm';
import { WorkflowError } from '../errors/index.js';
import { schemaOf } from './migrations/schema-of.js';
import { quoteIdentifier } from './tables.js';

/** The library's own table of executed migrations; the application's is never read nor written. */
export const MIGRATIONS_TABLE = 'workflow_migration';

/** Any number will do, as long as it never changes: replicas of different releases must meet on it. */
const ADVISORY_LOCK = '7239045311648920577';

/**
 * Brings the tables up to date. Reads first: with nothing pending no DDL is sent and no lock is taken, so that a role
 * without the right to create anything can boot.
 *
 * Pending migrations run in one transaction under an advisory lock of that transaction: it is held by one connection from
 * start to end (also with a pool of one, also behind PgBouncer in transaction mode), frees itself however the process ends,
 * and a replica that waited for it finds nothing left to do.
 *
 * @param options.migrate `false`: change nothing
 * @returns names of the migrations that this call ran
 * @throws WorkflowError WF_MIGRATIONS_PENDING naming them, with `migrate: false`, or when the role may not create tables
 */
export async function migrateWorkflowTables(
  source: DataSource,
  options: { migrate?: boolean | undefined } = {},
): Promise<string[]> {
  const pending = await pendingMigrations(source);
  if (pending.length === 0) return [];
  if (options.migrate === false) {
    throw new WorkflowError(
      'WF_MIGRATIONS_PENDING',
      `These migrations have not been run: ${pending.join(', ')}`,
    );
  }
  const runner = source.createQueryRunner();
  try {
    await runner.startTransaction('READ COMMITTED');
    try {
      // waiting for another replica is no failure, however short the timeouts of this role are
      await runner.query(
        `select set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true)`,
      );
      await runner.query('select pg_advisory_xact_lock($1::bigint)', [ADVISORY_LOCK]);
      await createSchemaIfMissing(runner, schemaOf(runner));
      const executor = new MigrationExecutor(source, runner);
      executor.transaction = 'all'; // joins the transaction that is open
      const done = await executor.executePendingMigrations();
      await runner.commitTransaction();
      return done.map((migration) => migration.name);
    } catch (error) {
      // a lost connection has rolled back by itself; the first error is the one that tells
      await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    }
  } catch (error) {
    if ((error as { code?: unknown }).code !== '42501') throw error;
    throw new WorkflowError(
      'WF_MIGRATIONS_PENDING',
      `The database role may not run the pending migrations ${pending.join(', ')}: ${(error as Error).message}`,
      { cause: error },
    );
  } finally {
    await runner.release();
  }
}

/** Names of the migrations this database has not seen. Reads only; TypeORM 0.3's own way would create the table. */
export async function pendingMigrations(source: DataSource): Promise<string[]> {
  const names = source.migrations.map((migration) => migration.name ?? migration.constructor.name);
  const runner = source.createQueryRunner();
  try {
    const schema = schemaOf(runner);
    if (!(await runner.hasTable(schema === undefined ? MIGRATIONS_TABLE : `${schema}.${MIGRATIONS_TABLE}`)))
      return names;
    const table = (schema === undefined ? [] : [schema])
      .concat(MIGRATIONS_TABLE)
      .map(quoteIdentifier)
      .join('.');
    const rows: { name: string }[] = await runner.query(`select name from ${table}`);
    const done = new Set(rows.map(({ name }) => name));
    return names.filter((name) => !done.has(name));
  } finally {
    await runner.release();
  }
}

/** Looks first: `create schema if not exists` is refused to a role without that right even when the schema exists. */
async function createSchemaIfMissing(runner: QueryRunner, schema: string | undefined): Promise<void> {
  if (schema === undefined) return;
  const found: unknown[] = await runner.query('select 1 from pg_namespace where nspname = $1', [schema]);
  if (found.length === 0) await runner.createSchema(schema, true);
}
