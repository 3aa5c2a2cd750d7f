import type pg from 'pg';
import { type PGliteSession, SessionScheduler } from './scheduler.js';
import { PGliteStream } from './stream.js';

export type PgModule = typeof pg;

/** What TypeORM takes as `driver:` for type `postgres`. */
export interface PGliteDriver {
  readonly Client: PgModule['Client'];
  readonly Pool: PgModule['Pool'];
  readonly types: PgModule['types'];
  readonly defaults: PgModule['defaults'];
}

const MARK = Symbol.for('nestjs-workflow:pglite-driver');

/** True for a driver made by `createPGliteDriver`, by whichever copy of this package. */
export const isPGliteDriver = (driver: unknown): boolean =>
  typeof driver === 'object' && driver !== null && MARK in driver;

/**
 * node-postgres over PGlite: a real Pool of real Clients, whose sockets lead to one PGlite session in this process.
 * Any number of DataSources may share the driver. What only one session can give stays: an open transaction holds up
 * all other connections, session advisory locks exclude nothing, UNLISTEN, SET and temporary tables are common to all.
 */
export function createPGliteDriver(session: PGliteSession, pgModule: PgModule): PGliteDriver {
  const scheduler = new SessionScheduler(session);

  class Client extends pgModule.Client {
    constructor(config: pg.ClientConfig = {}) {
      super({
        ...config,
        connectionString: undefined,
        user: 'postgres',
        database: 'postgres',
        host: 'localhost',
        ssl: false,
        stream: () => new PGliteStream(scheduler),
      } as pg.ClientConfig);
    }
  }

  class Pool extends pgModule.Pool {
    constructor(config: pg.PoolConfig = {}) {
      super({ ...config, connectionString: undefined, Client } as pg.PoolConfig);
      this.on('release', (_error: Error | undefined, client: pg.PoolClient | undefined) => {
        const { connection } = (client ?? {}) as { connection?: { stream?: unknown } };
        if (connection?.stream instanceof PGliteStream) connection.stream.giveBack();
      });
    }
  }

  const driver = { Client, Pool, types: pgModule.types, defaults: pgModule.defaults, [MARK]: true };
  return driver as unknown as PGliteDriver;
}
