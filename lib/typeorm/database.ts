import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { WorkflowError } from '../errors/index.js';
import { KeptClients } from './kept-clients.js';
import { areLean, LeanQuery, type LeanValue, Prepared } from './lean-query.js';
import { Listener, type NotificationHandler } from './listener.js';
import { Overdue } from './overdue.js';
import { isConnectionError, sqlStateOf } from './query-errors.js';
import { ReservedConnection } from './reserved-connection.js';

export { isConnectionError, isPoison, isTransient, sqlStateOf } from './query-errors.js';

/** 26000: prepared on another server connection; 42P05: already prepared there. Both come from a transaction pooler only. */
const POOLER_STATES: readonly (string | undefined)[] = ['26000', '42P05'];

/**
 * A connection whose statement is not answered for so long is given up, and the statement is sent again on another one: the machine
 * of the database, or the way to it, may have gone without a word, and the system would wait for a quarter of an hour.
 */
const ANSWER_MS = 60_000;
/** What touches as many runs as its filter finds may take as long as it needs. */
const UNBOUNDED: ReadonlySet<string> = new Set(['workflow_cancel_runs', 'workflow_list_runs']);

/**
 * Hand-written SQL on the pool of a DataSource. Values come back as the DataSource of `openWorkflowDataSource` parses
 * them: int8 as a string, timestamptz as a Date (`infinity` as Infinity).
 */
export class Database {
  /** Called with the name of each statement before it is sent, to count them. */
  onQuery: ((name: string) => void) | undefined;

  private readonly pool: pg.Pool;
  private readonly listeners = new Set<Listener>();
  private readonly reserved = new ReservedConnection(() => this.makeClient());
  private readonly kept: KeptClients;
  private readonly overdue: Overdue;
  private named = true;
  private readonly preparedByText = new Map<string, Prepared>();

  /**
   * @param source initialized; it stays the caller's to destroy
   * @param answerMs how long a statement may take, in ms
   */
  constructor(
    readonly source: DataSource,
    private readonly answerMs = ANSWER_MS,
  ) {
    this.overdue = new Overdue(answerMs);
    const { master } = source.driver as unknown as { master?: pg.Pool };
    if (!master)
      throw new WorkflowError(
        'WF_INVALID_ARGUMENT',
        'The DataSource is not initialized, or not a PostgreSQL one',
      );
    this.pool = master;
    // TypeORM listens as well; a terminated idle connection must not end the process whoever made the pool
    if (!this.pool.listenerCount('error')) this.pool.on('error', () => undefined);
    // a new connection may be ended in the very packet that opens it: the pool hears no more of it then, and `send` not yet
    this.pool.on('connect', (client) => client.on('error', () => undefined));
    this.kept = new KeptClients(this.pool);
  }

  /** What its connections are made of, for one that is made elsewhere. */
  get connections(): { readonly driver: unknown; readonly pool: { Client: unknown; options: object } } {
    const { driver } = this.source.options as { driver?: unknown };
    return { driver, pool: this.pool as unknown as { Client: unknown; options: object } };
  }

  /** False after a transaction pooler was met: statements are sent without their names from then on. */
  get usesPreparedStatements(): boolean {
    return this.named;
  }

  /**
   * Sends one statement and gives its rows. It is prepared once per connection, under `name` and a digest of its text.
   * Errors are those of node-postgres, unwrapped; `isTransient` and `isPoison` tell what they mean.
   */
  query<R>(name: string, text: string, values: unknown[]): Promise<R[]> {
    if (this.named && areLean(values)) {
      this.onQuery?.(name);
      return this.lean<R>(name, text, values);
    }
    return this.prepared<R>(name, text, values, (statement) => this.send(statement));
  }

  /** One promise from here to the socket and back: it is on the way of every step. */
  private lean<R>(name: string, text: string, values: LeanValue[]): Promise<R[]> {
    return new Promise((resolve, reject) => {
      const send = (client: pg.PoolClient, over: (error: Error | null) => void): void => {
        const query = new LeanQuery(this.preparedOf(name, text), values, client, (error, rows) => {
          this.overdue.delete(query);
          if (!error) {
            over(null);
            return resolve(rows as R[]);
          }
          // what follows an error in the same packet makes the connection ready for the next one
          process.nextTick(over, error);
          if (!POOLER_STATES.includes(sqlStateOf(error))) return reject(error);
          // refused before anything was executed, so it may be sent again at once
          this.named = false;
          this.send(this.statement(name, text, values)).then(
            ({ rows: again }) => resolve(again as R[]),
            reject,
          );
        });
        if (!UNBOUNDED.has(name)) this.overdue.add(query);
        client.query(query);
      };
      this.kept.take(send, reject);
    });
  }

  /** As `query`, on a connection of its own: it does not wait for one of the pool. */
  async queryReserved<R>(name: string, text: string, values: unknown[]): Promise<R[]> {
    return this.prepared<R>(name, text, values, (statement) => this.reserved.query(statement));
  }

  /**
   * Statements of one transaction, each with a snapshot of its own (read committed). On embedded PGlite the others wait
   * meanwhile: `work` awaits nothing but its own statements.
   */
  async transaction<T>(work: (query: Database['query']) => Promise<T>): Promise<T> {
    if (!this.named) return this.inTransaction(work);
    try {
      return await this.inTransaction(work);
    } catch (error) {
      if (!POOLER_STATES.includes(sqlStateOf(error))) throw error;
      // nothing of it was committed
      this.named = false;
      return this.inTransaction(work);
    }
  }

  private inTransaction<T>(work: (query: Database['query']) => Promise<T>): Promise<T> {
    return this.withClient(async (client) => {
      await client.query('begin isolation level read committed');
      try {
        const done = await work(async <R>(name: string, text: string, values: unknown[]) => {
          this.onQuery?.(name);
          return (await client.query(this.statement(name, text, values))).rows as R[];
        });
        await client.query('commit');
        return done;
      } catch (error) {
        // a connection that is gone has rolled it back
        if (!isConnectionError(error)) await client.query('rollback');
        throw error;
      }
    });
  }

  private async prepared<R>(
    name: string,
    text: string,
    values: unknown[],
    send: (statement: pg.QueryConfig) => Promise<pg.QueryResult>,
  ): Promise<R[]> {
    this.onQuery?.(name);
    if (this.named) {
      try {
        return (await send(this.statement(name, text, values))).rows as R[];
      } catch (error) {
        if (!POOLER_STATES.includes(sqlStateOf(error))) throw error;
        // refused before anything was executed, so it may be sent again at once
        this.named = false;
      }
    }
    return (await send(this.statement(name, text, values))).rows as R[];
  }

  /**
   * With a name that means this text, whoever has prepared it: behind a transaction pooler that may have been another process, of
   * another release or for another schema, whose statement of the same name would be executed without an error.
   */
  private statement(name: string, text: string, values: unknown[]): pg.QueryConfig {
    const limits = UNBOUNDED.has(name) ? undefined : { query_timeout: this.answerMs };
    if (!this.named) return { text, values, ...limits };
    return { name: this.preparedOf(name, text).name, text, values, ...limits };
  }

  private preparedOf(name: string, text: string): Prepared {
    let prepared = this.preparedByText.get(text);
    if (prepared === undefined) {
      const digest = createHash('sha256').update(text).digest('hex').slice(0, 12);
      this.preparedByText.set(text, (prepared = new Prepared(`${digest}_${name}`, text)));
    }
    return prepared;
  }

  /**
   * Calls `handler` with each payload that is notified on the channel, on a connection of its own. When that is lost it
   * is opened again, with backoff and for as long as it takes; each time `onReconnect` is called once it listens again,
   * as what was notified meanwhile is gone: look for it.
   *
   * Behind a transaction pooler nothing may ever arrive; polling alone must do.
   *
   * @returns once it listens (rejects when the first connection fails); the function ends it
   */
  async listen(
    channel: string,
    handler: NotificationHandler,
    onReconnect: () => void,
  ): Promise<() => Promise<void>> {
    const listener = new Listener(() => this.makeClient(), channel, handler, onReconnect);
    this.listeners.add(listener);
    const stop = async (): Promise<void> => {
      this.listeners.delete(listener);
      await listener.stop();
    };
    try {
      await listener.start();
    } catch (error) {
      await stop();
      throw error;
    }
    return stop;
  }

  /** Tells all listeners of the channel. Takes a database-wide lock at its commit: seldom, and outside hot transactions. */
  async notify(channel: string, payload: string): Promise<void> {
    await this.query('workflow_notify', 'select pg_notify($1, $2)', [channel, payload]);
  }

  /** Ends all connections beside the pool; idempotent. Call it before `source.destroy()`. */
  async close(): Promise<void> {
    const listeners = [...this.listeners];
    this.listeners.clear();
    this.kept.close();
    await Promise.all([this.reserved.close(), ...listeners.map((listener) => listener.stop())]);
  }

  /** What a pool makes its clients of: for PGlite a client of the driver. */
  private makeClient(): pg.Client {
    const { Client, options } = this.pool as unknown as {
      Client: new (config: unknown) => pg.Client;
      options: unknown;
    };
    return new Client(options);
  }

  private send(statement: pg.QueryConfig): Promise<pg.QueryResult> {
    return this.withClient((client) => client.query(statement));
  }

  private async withClient<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let broken: Error | undefined;
    const onError = (error: Error): void => {
      broken = error;
    };
    // while a client is out of the pool, nobody else hears its errors
    client.on('error', onError);
    try {
      return await work(client);
    } catch (error) {
      // pool.query would drop the connection after any error, also after a violated constraint
      if (isConnectionError(error)) broken ??= error as Error;
      throw error;
    } finally {
      client.removeListener('error', onError);
      client.release(broken);
    }
  }
}
