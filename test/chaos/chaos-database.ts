import pg from 'pg';
import { startCluster } from '../support/postgres-cluster.js';
import { insisting } from './audit.js';

/** The PostgreSQL under fire. */
export interface ChaosDatabase {
  readonly url: string;
  /** undefined for a server that is not ours: it is not restarted */
  readonly stop?: (mode: 'fast' | 'immediate') => Promise<void>;
  readonly start?: () => Promise<void>;
  readonly dispose: () => Promise<void>;
}

export async function openChaosDatabase(given: string | undefined): Promise<ChaosDatabase> {
  if (given === undefined) return startCluster();
  const client = new pg.Client({ connectionString: given });
  await client.connect();
  try {
    const { rows } = await client.query<{ taken: boolean }>(
      `select to_regclass('workflow_run') is not null or to_regnamespace('chaos') is not null as taken`,
    );
    if (rows[0]!.taken) throw new Error('The database is in use: give an empty one');
  } finally {
    await client.end();
  }
  return { url: given, dispose: async () => undefined };
}

/** Queries of the driver for itself: repeated until they are answered. */
export class Console {
  readonly #pool: pg.Pool;

  constructor(url: string) {
    this.#pool = new pg.Pool({ connectionString: url, max: 3, application_name: 'console' });
    this.#pool.on('error', () => undefined);
  }

  rows<R>(text: string, values: unknown[] = [], forMs?: number): Promise<R[]> {
    return insisting(async () => (await this.#pool.query(text, values)).rows as R[], forMs);
  }

  /** Once only: whether it was executed is not asked. */
  async attempt(text: string, values: unknown[] = []): Promise<number> {
    return (await this.#pool.query(text, values).catch(() => undefined))?.rowCount ?? 0;
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}
