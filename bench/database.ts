/** One database for each run, and what PostgreSQL counts of it. */
import pg from 'pg';
import type { BenchCluster } from './cluster.js';

export interface Snapshot {
  readonly wal: number;
  /** transactions that wrote, of the whole server */
  readonly xid: number;
  readonly statements: number;
  readonly sqlMs: number;
  readonly walSyncs: number;
}

export interface TopStatement {
  readonly calls: number;
  readonly totalMs: number;
  readonly rows: number;
  readonly text: string;
}

/** Of the statements of the harness itself none is counted: they are another role's. */
const OURS = `dbid = (select oid from pg_database where datname = current_database()) and userid = 'postgres'::regrole`;

export class BenchDatabase {
  private constructor(
    readonly name: string,
    readonly url: string,
    readonly client: pg.Client,
    private readonly counts: boolean,
  ) {}

  /** A new and empty one; one of that name from before is dropped. */
  static async create(cluster: BenchCluster, name: string): Promise<BenchDatabase> {
    await withClient(cluster.harnessUrl('postgres'), async (client) => {
      await client.query(`drop database if exists "${name}" with (force)`);
      await client.query(`create database "${name}" owner postgres`);
    });
    const client = new pg.Client({ connectionString: cluster.harnessUrl(name) });
    await client.connect();
    const { countsStatements } = cluster.about;
    if (countsStatements)
      await client.query('create schema stats; create extension pg_stat_statements schema stats');
    return new BenchDatabase(name, cluster.url(name), client, countsStatements);
  }

  async reset(): Promise<void> {
    await this.client.query('checkpoint');
    if (this.counts) await this.client.query('select stats.pg_stat_statements_reset()');
  }

  async snapshot(): Promise<Snapshot> {
    const { rows } = await this.client.query<Record<string, string>>(
      `select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal, pg_snapshot_xmax(pg_current_snapshot())::text as xid,
         (select to_jsonb(w) ->> 'wal_sync' from pg_stat_wal w) as syncs`,
    );
    const { wal, xid, syncs } = rows[0]!;
    const { statements, ms } = this.counts
      ? (
          await this.client.query<Record<string, string>>(
            `select coalesce(sum(calls), 0) as statements, coalesce(sum(total_exec_time), 0) as ms
             from stats.pg_stat_statements where ${OURS}`,
          )
        ).rows[0]!
      : { statements: undefined, ms: undefined };
    return {
      wal: Number(wal),
      xid: Number(xid),
      statements: Number(statements ?? NaN),
      sqlMs: Number(ms ?? NaN),
      walSyncs: Number(syncs ?? NaN),
    };
  }

  async top(limit = 8): Promise<TopStatement[]> {
    if (!this.counts) return [];
    const { rows } = await this.client.query<TopStatement>(
      `select calls::int, round(total_exec_time::numeric, 1)::float8 as "totalMs", rows::int,
         left(regexp_replace(query, '\\s+', ' ', 'g'), 120) as text
       from stats.pg_stat_statements where ${OURS} order by total_exec_time desc limit ${limit}`,
    );
    return rows;
  }

  async dispose(cluster: BenchCluster): Promise<void> {
    await this.client.end();
    await withClient(cluster.harnessUrl('postgres'), (client) =>
      client.query(`drop database if exists "${this.name}" with (force)`),
    );
  }
}

export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
