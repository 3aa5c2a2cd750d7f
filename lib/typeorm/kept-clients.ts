import type pg from 'pg';
import { isConnectionError } from './query-errors.js';

/** A connection that nobody has used for so long goes back to its pool. */
const KEPT_MS = 2;
/** Now and then it goes back all the same, so that limits of the pool on its age and its uses hold. */
const MOST_USES = 1000;

interface Kept {
  readonly client: pg.PoolClient;
  uses: number;
}

/**
 * Connections between one statement and the next. A step is a statement, and the next one follows within some 100 us: to give a connection back
 * to the pool and to take it from there again (timers, listeners, a turn) is a tenth of what Node does for it. Nobody waits longer
 * for a connection because of this: one that is given back while somebody waits for the pool goes there.
 */
export class KeptClients {
  readonly #free: Kept[] = [];
  readonly #known = new WeakSet<pg.PoolClient>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(private readonly pool: pg.Pool) {}

  /** Gives a connection to `use`, which gives it back by calling `over` once, with the error of the statement if there was one. */
  take(
    use: (client: pg.PoolClient, over: (error: Error | null) => void) => void,
    failed: (error: Error) => void,
  ): void {
    const kept = this.#free.pop();
    if (kept) return this.#lend(kept, use);
    this.pool.connect((error, client) => {
      if (error || !client) return failed(error ?? new Error('Connection terminated'));
      // while a client is out of the pool, nobody else hears its errors
      if (!this.#known.has(client)) {
        this.#known.add(client);
        client.on('error', (cut) => this.#drop(client, cut));
      }
      this.#lend({ client, uses: 0 }, use);
    });
  }

  #lend(kept: Kept, use: (client: pg.PoolClient, over: (error: Error | null) => void) => void): void {
    use(kept.client, (error) => this.#giveBack(kept, error));
  }

  /** Gives all of them back to the pool, and keeps none from now on. */
  close(): void {
    this.#isClosed = true;
    this.#release();
  }

  #giveBack(kept: Kept, error: Error | null): void {
    // pool.query would drop the connection after any error, also after a violated constraint
    if (error && isConnectionError(error)) return kept.client.release(error);
    if (this.#isClosed || this.pool.waitingCount > 0 || ++kept.uses >= MOST_USES)
      return kept.client.release();
    this.#free.push(kept);
    if (this.#timer) this.#timer.refresh();
    else this.#timer = setTimeout(() => this.#release(), KEPT_MS).unref();
  }

  #release(): void {
    for (const { client } of this.#free.splice(0)) client.release();
  }

  /** It was cut while nobody used it. */
  #drop(client: pg.PoolClient, error: Error): void {
    const at = this.#free.findIndex((kept) => kept.client === client);
    if (at >= 0) this.#free.splice(at, 1)[0]!.client.release(error);
  }
}
