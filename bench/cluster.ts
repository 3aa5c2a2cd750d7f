/** The PostgreSQL that is measured: its own, on a free port, with the durability that PostgreSQL has by default. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import {
  embeddedPrograms,
  startCluster,
  type Cluster,
  type Programs,
} from '../test/support/postgres-cluster.js';
import { isInMemory } from './machine.js';

const DEBIAN = '/usr/lib/postgresql';
const EXTENSION = 'pg_stat_statements';
/** What startCluster would turn off is on; nothing is tuned. The connections are for peers with large pools. */
const SETTINGS = { fsync: 'on', full_page_writes: 'on', max_connections: '300' };
const TOLD = ['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_connections'];

export interface BenchCluster {
  /** of a database, for what is measured */
  url(database: string): string;
  /** as another role: statements of the harness are not counted */
  harnessUrl(database: string): string;
  readonly postmaster: number;
  readonly about: PostgresAbout;
  dispose(): Promise<void>;
}

export interface PostgresAbout {
  readonly version: string;
  readonly settings: Readonly<Record<string, string>>;
  /** statements are counted by pg_stat_statements; otherwise only transactions that wrote are counted */
  readonly countsStatements: boolean;
  /** its data lie in memory: fsync costs nothing there, and no time says anything */
  readonly inMemory: boolean;
}

/** Of the newest PostgreSQL of the system, else those that npm brought. */
async function programs(): Promise<Programs> {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).filter((name) => /^\d+$/.test(name)) : [];
  const [newest] = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(DEBIAN, version, 'bin'))
    .filter((folder) => existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'initdb')));
  if (!newest) return embeddedPrograms();
  return { postgres: join(newest, 'postgres'), initdb: join(newest, 'initdb') };
}

const hasExtension = ({ postgres }: Programs): boolean =>
  ['lib', 'lib/postgresql'].some((folder) =>
    existsSync(join(dirname(postgres), '..', folder, `${EXTENSION}.so`)),
  );

/**
 * @param found its programs; left out: those of the system
 * @param extra settings, for what is no measurement of time
 */
export async function startBenchCluster(
  found?: Programs,
  extra: Readonly<Record<string, string>> = {},
): Promise<BenchCluster> {
  found ??= await programs();
  const countsStatements = hasExtension(found);
  const preload = countsStatements && { shared_preload_libraries: EXTENSION };
  const settings = { ...SETTINGS, ...preload, ...extra };
  const cluster = await startCluster(settings, undefined, found);
  try {
    return await describe(cluster, countsStatements);
  } catch (error) {
    await cluster.dispose();
    throw error;
  }
}

async function describe(cluster: Cluster, countsStatements: boolean): Promise<BenchCluster> {
  const urlOf = (role: string, database: string): string =>
    `postgresql://${role}@127.0.0.1:${cluster.port}/${database}`;
  const client = new pg.Client({ connectionString: cluster.url });
  await client.connect();
  try {
    await client.query('create role harness superuser login');
    const { rows } = await client.query<{ name: string; setting: string }>(
      `select name, current_setting(name) as setting from pg_settings where name = any($1)`,
      [[...TOLD, 'server_version']],
    );
    const { server_version: version = '', ...told } = Object.fromEntries(
      rows.map(({ name, setting }) => [name, setting]),
    );
    return {
      url: (database) => urlOf('postgres', database),
      harnessUrl: (database) => urlOf('harness', database),
      postmaster: Number(readFileSync(join(cluster.data, 'postmaster.pid'), 'utf8').split('\n')[0]),
      about: { version, settings: told, countsStatements, inMemory: isInMemory(cluster.data) },
      dispose: () => cluster.dispose(),
    };
  } finally {
    await client.end();
  }
}
