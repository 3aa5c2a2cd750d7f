import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import type pg from 'pg';
import { DataSource, DefaultNamingStrategy, EntitySchema } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { migratedDump } from '../../lib/testing/pglite-dump.js';
import {
  isRetryableBootError,
  openWorkflowDataSource,
  type OpenOptions,
} from '../../lib/typeorm/data-source.js';
import type { ImportModule } from '../../lib/typeorm/modules.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { recordingLogger, silentLogger } from '../support/silent-logger.js';

const open = (options: Partial<OpenOptions>): Promise<DataSource> =>
  openWorkflowDataSource({ logger: silentLogger, ...options });

let database: TestDatabase;
beforeAll(async () => {
  database = await createPostgres();
});
afterAll(() => database.dispose());
const disposals: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

describe('a boot with options that cannot be right', () => {
  it('is refused in production when nothing is configured', async () => {
    vi.stubEnv('NODE_ENV', 'production');
    await expect(open({})).rejects.toMatchObject({ code: 'WF_EMBEDDED_IN_PRODUCTION' });
  });

  it.each(['', 'a.b', 'a"b', "a'b", 'a b', 'x'.repeat(64)])('refuses the schema %j', async (schema) => {
    await expect(open({ database: database.options, schema })).rejects.toMatchObject({
      code: 'WF_INVALID_OPTIONS',
      message: expect.stringContaining(`\`schema\` ${JSON.stringify(schema)} is not a plain schema name.`),
    });
  });
});

describe('the DataSource derived from that of the application', () => {
  const Order = new EntitySchema({ name: 'app_order', columns: { id: { type: 'int', primary: true } } });

  it('takes the connection and nothing else, and leaves the other alone', async () => {
    const application = new DataSource({
      type: 'postgres',
      url: database.url!,
      entities: [Order],
      migrations: [class AppMigration1763856000001 {}],
      synchronize: true,
      dropSchema: true,
      entityPrefix: 'app_',
      namingStrategy: new (class extends DefaultNamingStrategy {
        override columnName(): string {
          return 'wrong';
        }
      })(),
      parseInt8: true,
      cache: true,
      poolSize: 3,
      applicationName: 'shop',
      extra: { options: '-c statement_timeout=12345', application_name: 'shop' },
    });
    const source = await open({ application });
    disposals.push(() => source.destroy());
    const { options } = source;
    expect(options).toMatchObject({
      synchronize: false,
      dropSchema: false,
      migrationsRun: false,
      installExtensions: false,
      subscribers: [],
    });
    expect(Object.keys(options)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/entityPrefix|namingStrategy|cache|parseInt8/)]),
    );
    expect(source.entityMetadatas.map(({ tableName }) => tableName).toSorted()).toEqual(
      ['flow_control', 'flow_note', 'message', 'run', 'schedule', 'step', 'task', 'worker']
        .map((name) => `workflow_${name}`)
        .toSorted(),
    );
    const [row] = await source.query(
      `select current_setting('application_name') as name, current_setting('statement_timeout') as timeout, 1::int8 as big`,
    );
    expect(row).toEqual({ name: 'nestjs-workflow', timeout: '12345ms', big: '1' });
    expect((source.driver as unknown as { master: pg.Pool }).master.options.max).toBe(3);
    expect(application.isInitialized).toBe(false);
  });

  it('has a pool of ten unless told otherwise, and uses the master of a replicated one', async () => {
    const { hostname, port, username, pathname } = new URL(database.url!);
    const master = { host: hostname, port: Number(port), username, database: pathname.slice(1) };
    const application = new DataSource({
      type: 'postgres',
      replication: { master, slaves: [{ host: 'nowhere' }] },
    });
    const source = await open({ application });
    disposals.push(() => source.destroy());
    const { master: pool } = source.driver as unknown as { master: pg.Pool };
    expect(pool.options.max).toBe(10);
    expect(source.driver.isReplicated).toBe(false);
  });
});

describe('embedded PGlite', () => {
  it('is used in .workflow/ when nothing is configured, with one warning, and closes with the DataSource', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'workflow-cwd-'));
    disposals.push(() => rmSync(folder, { recursive: true }));
    const cwd = vi.spyOn(process, 'cwd').mockReturnValue(folder);
    disposals.push(() => cwd.mockRestore());
    const logger = recordingLogger();
    const source = await open({ logger, loadDataDir: await migratedDump() });
    expect(logger.lines.filter((line) => line.startsWith('warn:'))).toEqual([
      'warn: No database is configured: workflows are kept by embedded PGlite in .workflow/, for this process alone. ' +
        'Configure `database: { url }` or a TypeORM DataSource before production.',
    ]);
    expect(existsSync(join(folder, '.workflow/data/PG_VERSION'))).toBe(true);
    await source.destroy();
    await source.destroy(); // idempotent
    const again = await open({ database: { embedded: '.workflow' } });
    await again.destroy();
  });

  it('frees the folder when the boot fails', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'workflow-fail-'));
    disposals.push(() => rmSync(folder, { recursive: true }));
    const loadDataDir = await migratedDump();
    // in that schema nothing has been migrated
    const boot = (): Promise<DataSource> =>
      open({ database: { embedded: folder }, loadDataDir, schema: 'other', migrate: false });
    await expect(boot()).rejects.toMatchObject({ code: 'WF_MIGRATIONS_PENDING' });
    await expect(boot()).rejects.toMatchObject({ code: 'WF_MIGRATIONS_PENDING' }); // not WF_DATABASE_IN_USE
  });

  it('that cannot read its folder says so and frees it', async () => {
    const boot = (): Promise<DataSource> =>
      open({ database: { embedded: 'memory' }, loadDataDir: new Blob(['not a tar']) });
    await expect(boot()).rejects.toMatchObject({
      code: 'WF_DATABASE_UNAVAILABLE',
      message: expect.stringContaining('The embedded database in memory does not open'),
    });
  });
});

describe('a missing package', () => {
  const without =
    (missing: string): ImportModule =>
    async (name) => {
      if (name !== missing) return name === 'pg' ? import('pg') : import('@electric-sql/pglite');
      throw Object.assign(new Error(`Cannot find package '${name}' imported from x`), {
        code: 'ERR_MODULE_NOT_FOUND',
      });
    };

  it.each([
    ['@electric-sql/pglite', { embedded: 'memory' }, 'npm i @electric-sql/pglite@^0.5.13'],
    ['pg', { embedded: 'memory' }, 'npm i pg'],
    ['pg', { url: 'postgres://localhost/x' }, 'npm i pg'],
  ])('%s is named with the line that installs it', async (name, given, line) => {
    await expect(open({ database: given, load: without(name) })).rejects.toMatchObject({
      code: 'WF_DRIVER_MISSING',
      message: `The package ${name} is not installed: \`${line}\`. Install the package named above. [WF_DRIVER_MISSING]`,
    });
  });

  it('of a driver is told by its own error', async () => {
    const broken = Object.assign(new Error("Cannot find package 'pg-protocol'"), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    const load: ImportModule = async (name) => {
      if (name === '@electric-sql/pglite') throw broken;
      return import('pg');
    };
    await expect(open({ database: { embedded: 'memory' }, load })).rejects.toBe(broken);
  });
});

describe('a database that cannot be reached', () => {
  /** A port on which nobody listens. */
  const closedPort = (): Promise<number> =>
    new Promise((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        server.close(() => resolve(port));
      });
    });

  it('is named with host, port and database, never with the password, and the cause is kept', async () => {
    const port = await closedPort();
    const error = await open({ database: { url: `postgres://app:s3cret@127.0.0.1:${port}/shop` } }).catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({
      code: 'WF_DATABASE_UNAVAILABLE',
      message: `PostgreSQL at 127.0.0.1:${port}, database "shop", cannot be reached: connect ECONNREFUSED 127.0.0.1:${port}. Start the database or correct its URL. [WF_DATABASE_UNAVAILABLE]`,
      cause: { code: 'ECONNREFUSED' },
    });
    expect(inspect(error, { depth: 9 })).not.toContain('s3cret');
    expect(isRetryableBootError(error)).toBe(true);
  });

  it('is told the same way for single options', async () => {
    const port = await closedPort();
    const given = {
      type: 'postgres' as const,
      host: '127.0.0.1',
      port,
      database: 'shop',
      username: 'u',
      password: 's3cret',
    };
    const error = await open({ database: given }).catch((e: unknown) => e);
    expect(error).toMatchObject({
      message: expect.stringContaining(`PostgreSQL at 127.0.0.1:${port}, database "shop", cannot`),
    });
    expect(inspect(error, { depth: 9 })).not.toContain('s3cret');
  });

  it('is one that does not exist', async () => {
    const url = new URL(database.url!);
    url.pathname = '/nowhere';
    await expect(open({ database: { url: url.href } })).rejects.toMatchObject({
      code: 'WF_DATABASE_UNAVAILABLE',
      message: expect.stringContaining(
        'database "nowhere", cannot be reached: database "nowhere" does not exist.',
      ),
    });
  });

  it('is the only boot error that is worth a retry', async () => {
    const refused = await open({ database: {} as never }).catch((e: unknown) => e);
    expect(isRetryableBootError(refused)).toBe(false);
    expect(isRetryableBootError(new Error('other'))).toBe(false);
  });
});
