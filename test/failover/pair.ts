import pg from 'pg';
import { startCluster, type Cluster } from '../support/postgres-cluster.js';

const REPLICATED = {
  wal_level: 'replica',
  max_wal_senders: '4',
  wal_retrieve_retry_interval: '100ms',
} as const;

/** A primary whose commits wait for its standby, and the standby. */
export interface Pair {
  readonly primary: Cluster;
  readonly standby: Cluster;
  dispose(): Promise<void>;
}

/** One statement on a connection of its own. */
export async function once<R extends object>({ url }: Pick<Cluster, 'url'>, text: string): Promise<R[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<R>(text)).rows;
  } finally {
    await client.end();
  }
}

export async function startPair(): Promise<Pair> {
  const primary = await startCluster(REPLICATED);
  const started = [primary];
  const dispose = async (): Promise<void> => {
    for (const cluster of started) await cluster.dispose();
  };
  try {
    await primary.stop();
    const standby = await startCluster(REPLICATED, primary);
    started.push(standby);
    await primary.start();
    // in the primary's own settings, which the standby does not have: promoted, it waits for nobody
    await once(primary, `alter system set synchronous_standby_names = '*'`);
    await once(primary, 'select pg_reload_conf()');
    for (let state = ''; state !== 'sync';) {
      const [row] = await once<{ state: string }>(
        primary,
        'select sync_state as state from pg_stat_replication',
      );
      state = row?.state ?? '';
    }
    return { primary, standby, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Resolves when it takes writes. */
export async function promote(standby: Cluster): Promise<void> {
  await once(standby, 'select pg_promote(true, 60)');
}
