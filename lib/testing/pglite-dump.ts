import { createHash, randomUUID } from 'node:crypto';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { DataSource } from 'typeorm';
import { MIGRATIONS_TABLE, migrateWorkflowTables } from '../typeorm/migrate.js';
import { workflowMigrations } from '../typeorm/migrations/index.js';
import { loadModule } from '../typeorm/modules.js';
import { openEmbedded } from '../typeorm/pglite/embedded.js';
import { tablesOf } from '../typeorm/tables.js';

let dump: Promise<Blob> | undefined;

/**
 * An embedded database with all migrations run, for `loadDataDir`: opening it takes a quarter of what a new one does.
 * Made once for each version of PGlite and of the migrations, and kept in the folder for temporary files.
 */
export function migratedDump(): Promise<Blob> {
  dump ??= load().catch((error: unknown) => {
    dump = undefined;
    throw error;
  });
  return dump;
}

async function load(): Promise<Blob> {
  const file = await cacheFile();
  const cached = await readOwn(file);
  if (cached) return new Blob([cached]);
  const bytes = Buffer.from(await (await makeDump()).arrayBuffer());
  await store(file, bytes);
  return new Blob([bytes]);
}

/** Changes with PGlite and with any line of a migration. */
export function migrationsHash(): string {
  const hash = createHash('sha256')
    .update(tablesOf.toString())
    .update(JSON.stringify(tablesOf(undefined)));
  for (const migration of workflowMigrations) hash.update(migration.name).update(migration.toString());
  return hash.digest('hex').slice(0, 16);
}

async function cacheFile(): Promise<string> {
  const { PGlite } = await loadModule('@electric-sql/pglite');
  // not by `import.meta`: a test runner that makes CommonJS of this file cannot
  const pglite = createHash('sha256')
    .update(versionFromHere())
    .update(PGlite.toString())
    .digest('hex')
    .slice(0, 16);
  return join(tmpdir(), `nestjs-workflow-${userInfo().username}-pglite-${pglite}-${migrationsHash()}.tar`);
}

/** Version of the PGlite that the tests have; '' where it is not to be found from their folder. */
function versionFromHere(): string {
  try {
    const entry = createRequire(join(process.cwd(), 'package.json')).resolve('@electric-sql/pglite');
    const manifest = createRequire(entry)(join(dirname(entry), '..', 'package.json')) as { version: string };
    return manifest.version;
  } catch {
    return '';
  }
}

/** A file of someone else is not trusted: it would be run as a database. */
async function readOwn(file: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const { uid } = await stat(file);
    if (process.getuid && uid !== process.getuid()) return undefined;
    return new Uint8Array(await readFile(file));
  } catch {
    return undefined;
  }
}

/** Written beside and renamed: a reader sees all of it or nothing, and of parallel writers the last one wins. */
async function store(file: string, bytes: Buffer): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, bytes, { mode: 0o600 });
    await rename(draft, file);
  } catch {
    // a cache that cannot be written costs time only
    await rm(draft, { force: true });
  }
}

async function makeDump(): Promise<Blob> {
  const embedded = await openEmbedded('memory');
  try {
    const source = new DataSource({
      type: 'postgres',
      driver: embedded.driver,
      migrations: workflowMigrations,
      migrationsTableName: MIGRATIONS_TABLE,
      installExtensions: false,
      poolSize: 1,
    });
    await source.initialize();
    await migrateWorkflowTables(source);
    await source.destroy();
    return await embedded.dump();
  } finally {
    await embedded.close();
  }
}
