import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import { migratedDump, migrationsHash } from '../../lib/testing/pglite-dump.js';
import { openWorkflowDataSource, type OpenOptions } from '../../lib/typeorm/data-source.js';
import type { WorkflowDatabase } from '../../lib/workflow.options.js';
import { silentLogger } from './silent-logger.js';

/** A database of one test's own, with all migrations run. */
export interface TestDatabase {
  /** for `WorkflowModule.forRoot({ database })` */
  readonly options: WorkflowDatabase;
  /** of a PostgreSQL one */
  readonly url?: string;
  /** of a PGlite one on disk */
  readonly folder?: string;
  /** of a PGlite one: pass it on with `options`, and opening takes half a second instead of three */
  readonly loadDataDir?: Blob;
  /** a DataSource on it; the caller destroys it */
  readonly open: (options?: Partial<OpenOptions>) => Promise<DataSource>;
  /** drops the database; its connections are ended */
  readonly dispose: () => Promise<void>;
}

export interface TestDatabases {
  readonly name: 'postgres' | 'pglite';
  readonly create: () => Promise<TestDatabase>;
}

/** All databases that the contract of the store is tested on. */
export const DATABASES: readonly TestDatabases[] = [
  { name: 'postgres', create: () => createPostgres() },
  { name: 'pglite', create: () => createMemory() },
];

function serverUrl(): string {
  const url = process.env.WORKFLOW_TEST_PG_URL;
  if (!url) throw new Error('WORKFLOW_TEST_PG_URL is not set: run the tests by `vitest run`');
  return url;
}

const urlOf = (database: string): string => {
  const url = new URL(serverUrl());
  url.pathname = `/${database}`;
  return url.href;
};

export async function onServer<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: serverUrl() });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const opening =
  (base: Partial<OpenOptions>) =>
  (options: Partial<OpenOptions> = {}): Promise<DataSource> =>
    openWorkflowDataSource({ logger: silentLogger, ...base, ...options });

function postgresDatabase(name: string): TestDatabase {
  const url = urlOf(name);
  return {
    options: { url },
    url,
    open: opening({ database: { url } }),
    dispose: () =>
      onServer(async (client) => void (await client.query(`drop database if exists ${name} with (force)`))),
  };
}

const freshName = (): string => `wf_${randomUUID().replaceAll('-', '')}`;

/** A PostgreSQL database with nothing in it. */
export async function createEmptyPostgres(): Promise<TestDatabase> {
  const name = freshName();
  await onServer((client) => client.query(`create database ${name}`));
  return postgresDatabase(name);
}

/** A PostgreSQL database with the tables, as a copy of a template. */
export async function createPostgres(): Promise<TestDatabase> {
  const name = freshName();
  const from = await template();
  await onServer((client) => client.query(`create database ${name} template ${from}`));
  return postgresDatabase(name);
}

let made: Promise<string> | undefined;
const template = (): Promise<string> => (made ??= makeTemplate());

/** One for all workers. It gets its name when it is finished, so whoever finds it can copy it. */
function makeTemplate(): Promise<string> {
  const name = `wf_template_${migrationsHash()}`;
  return onServer(async (client) => {
    await client.query('select pg_advisory_lock(730183)'); // until this connection ends
    const found = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (found.rowCount === 0) {
      const empty = await createEmptyPostgres();
      await (await empty.open()).destroy();
      await client.query(`alter database ${new URL(empty.url!).pathname.slice(1)} rename to ${name}`);
    }
    return name;
  });
}

/** PGlite in memory; it exists for as long as it is open. */
export async function createMemory(): Promise<TestDatabase> {
  const loadDataDir = await migratedDump();
  const options = { embedded: 'memory' };
  return {
    options,
    loadDataDir,
    open: opening({ database: options, loadDataDir }),
    dispose: async () => undefined,
  };
}

/** PGlite in a temporary folder, for tests that kill its process. */
export async function createFolder(): Promise<TestDatabase> {
  const loadDataDir = await migratedDump();
  const folder = mkdtempSync(join(tmpdir(), 'workflow-pglite-'));
  const options = { embedded: folder };
  return {
    options,
    folder,
    loadDataDir,
    open: opening({ database: options, loadDataDir }),
    dispose: async () => rmSync(folder, { recursive: true, force: true }),
  };
}
