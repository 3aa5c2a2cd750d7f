import pg from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { pendingMigrations } from '../../lib/typeorm/migrate.js';
import { workflowMigrations } from '../../lib/typeorm/migrations/index.js';
import { bundle, Child } from '../support/child.js';
import { createEmptyPostgres, createPostgres, onServer, type TestDatabase } from '../support/databases.js';

const disposals: (() => unknown)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});
const disposed = (database: TestDatabase): TestDatabase => {
  disposals.push(() => database.dispose());
  return database;
};
const names = workflowMigrations.map(({ name }) => name);

describe('migrations at boot', () => {
  let child: Awaited<ReturnType<typeof bundle>> | undefined;
  afterAll(() => child?.remove());

  it('let five processes that boot at once on an empty database all come up, and run once', async () => {
    child = await bundle('test/storage/children/boot.ts');
    const { url } = disposed(await createEmptyPostgres());
    const replicas = [1, 2, 3, 4, 5].map(() => Child.start(child!.file, [url!]));
    await Promise.all(replicas.map((replica) => replica.message()));
    const results = replicas.map((replica) =>
      replica.message<{ ok: boolean; migrated: boolean; error?: string }>(),
    );
    for (const replica of replicas) replica.process.send('go');
    const outcomes = await Promise.all(results);
    await Promise.all(replicas.map((replica) => replica.ended));
    expect(outcomes.map(({ error }) => error)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(outcomes.filter(({ migrated }) => migrated)).toHaveLength(1);
  });

  it('work on a pool of one connection, into a schema that does not exist yet', async () => {
    const { url, open } = disposed(await createEmptyPostgres());
    const database = { type: 'postgres' as const, url: url!, poolSize: 1 };
    const sources = await Promise.all([1, 2, 3].map(() => open({ database, schema: 'flows' })));
    expect(await pendingMigrations(sources[0]!)).toEqual([]);
    const rows = await sources[1]!.query(
      `select to_regclass('flows.workflow_run') as run, count(*) from flows.workflow_migration`,
    );
    expect(rows).toEqual([{ run: 'flows.workflow_run', count: String(names.length) }]);
    await Promise.all(sources.map((source) => source.destroy()));
  });

  it('are waited for by a role with a short lock_timeout', async () => {
    const database = disposed(await createEmptyPostgres());
    const url = `${database.url}?options=-c%20lock_timeout%3D1ms`;
    const sources = await Promise.all([1, 2, 3, 4].map(() => database.open({ database: { url } })));
    await Promise.all(sources.map((source) => source.destroy()));
    expect(sources).toHaveLength(4);
  });

  it('send only reads when nothing is pending, so that a role without rights to create can boot', async () => {
    const database = disposed(await createPostgres());
    const role = `reader_${Date.now()}`;
    await onServer((client) => client.query(`create role ${role} login`));
    disposals.unshift(() => onServer((client) => client.query(`drop role ${role}`)));
    const owner = await database.open();
    await owner.query(
      `revoke create on schema public from public; grant select on workflow_migration to ${role}`,
    );
    await owner.destroy();

    const url = new URL(database.url!);
    url.username = role;
    const statements: string[] = [];
    const driver = recordingDriver(statements);
    const source = await database.open({ database: { type: 'postgres', url: url.href, driver } });
    expect(statements.length).toBeGreaterThan(0);
    expect(statements.filter((text) => !/^select/i.test(text))).toEqual([]);
    expect(statements.filter((text) => /lock/i.test(text))).toEqual([]);
    await source.destroy();
  });

  it('are refused by name with migrate: false', async () => {
    const database = disposed(await createEmptyPostgres());
    const boot = database.open({ migrate: false });
    await expect(boot).rejects.toMatchObject({
      code: 'WF_MIGRATIONS_PENDING',
      message: `These migrations have not been run: ${names.join(', ')}. Run \`workflowMigrations\` with your own migrations, or allow \`migrate: true\`. [WF_MIGRATIONS_PENDING]`,
    });
    const [{ count }] = await onDatabase(
      database,
      `select count(*) from pg_class where relname like 'workflow%'`,
    );
    expect(count).toBe('0');
  });

  it('that the role may not run are told as pending, with the reason', async () => {
    const database = disposed(await createEmptyPostgres());
    const role = `nobody_${Date.now()}`;
    await onServer((client) => client.query(`create role ${role} login`));
    disposals.unshift(() => onServer((client) => client.query(`drop role ${role}`)));
    const url = new URL(database.url!);
    url.username = role;
    await expect(database.open({ database: { url: url.href } })).rejects.toMatchObject({
      code: 'WF_MIGRATIONS_PENDING',
      message: expect.stringContaining('permission denied for schema public'),
    });
  });

  it("may be run with the application's own migrations instead", async () => {
    const database = disposed(await createEmptyPostgres());
    const application = new DataSource({
      type: 'postgres',
      url: database.url!,
      migrations: workflowMigrations,
      migrationsTableName: 'workflow_migration',
    });
    await application.initialize();
    await application.runMigrations();
    await application.destroy();
    const source = await database.open({ migrate: false });
    expect(await source.query('select * from workflow_run')).toEqual([]);
    await source.destroy();
  });
});

async function onDatabase(
  database: TestDatabase,
  text: string,
): Promise<{ count: string }[] & [{ count: string }]> {
  const source = new DataSource({ type: 'postgres', url: database.url! });
  await source.initialize();
  try {
    return await source.query(text);
  } finally {
    await source.destroy();
  }
}

/** node-postgres that writes down the text of each statement it sends. */
function recordingDriver(statements: string[]): unknown {
  class Client extends pg.Client {
    override query(...args: unknown[]): any {
      const [first] = args as [string | { text: string }];
      statements.push((typeof first === 'string' ? first : first.text).trim());
      return (super.query as (...all: unknown[]) => unknown)(...args);
    }
  }
  class Pool extends pg.Pool {
    constructor(config: pg.PoolConfig) {
      super({ ...config, Client } as pg.PoolConfig);
    }
  }
  return { Client, Pool, types: pg.types, defaults: pg.defaults };
}
