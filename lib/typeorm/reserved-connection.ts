import type pg from 'pg';
import { isConnectionError } from './query-errors.js';

/** A connection that has gone silent without closing is given up after this, and another one is opened. */
const TIMEOUT_MS = 5000;

/**
 * One connection beside the pool, for what must get through while the pool is busy: a heartbeat that waits for a free
 * connection costs the leases. Opened when it is first needed and again after it was lost.
 */
export class ReservedConnection {
  #client: Promise<pg.Client> | undefined;

  constructor(private readonly make: () => pg.Client) {}

  async query(statement: pg.QueryConfig): Promise<pg.QueryResult> {
    const opening = (this.#client ??= this.#open());
    try {
      return await (await opening).query({ ...statement, query_timeout: TIMEOUT_MS } as pg.QueryConfig);
    } catch (error) {
      if (isConnectionError(error)) this.#drop(opening);
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.then((open) => open.end()).catch(() => undefined);
  }

  #open(): Promise<pg.Client> {
    const client = this.make();
    const opening: Promise<pg.Client> = client.connect().then(() => client);
    // without a listener a connection that is cut while idle would end the process
    client.on('error', () => this.#drop(opening));
    client.on('end', () => this.#drop(opening));
    opening.catch(() => this.#drop(opening));
    return opening;
  }

  #drop(client: Promise<pg.Client>): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    client.then((open) => open.end()).catch(() => undefined);
  }
}
