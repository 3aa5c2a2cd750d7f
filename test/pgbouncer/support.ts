import { afterAll, beforeAll, describe } from 'vitest';
import { openWorkflowDataSource } from '../../lib/typeorm/data-source.js';
import { createEmptyPostgres, createPostgres, type TestDatabase } from '../support/databases.js';
import { findPgBouncer, startPgBouncer, type Program } from '../support/pgbouncer.js';
import { silentLogger } from '../support/silent-logger.js';
import { startTransactionPooler, type Pooler } from '../support/transaction-pooler.js';

export interface PoolerKind {
  readonly name: string;
  /** why it cannot be tested here */
  readonly missing?: string;
  /** statements keep their names: the pooler knows which connection has prepared what */
  readonly prepares: boolean;
  readonly start: (url: string) => Promise<Pooler>;
}

const found = findPgBouncer();

const pgBouncer = (name: string, settings: readonly string[], least = 0): PoolerKind => {
  const prepares = settings.some((line) => /^max_prepared_statements = [1-9]/.test(line));
  const start = (url: string): Promise<Pooler> => startPgBouncer(found as Program, url, settings);
  if (typeof found === 'string') return { name, prepares, start, missing: found };
  const [major = 0, minor = 0] = found.version.split('.').map(Number);
  const missing = major * 100 + minor < least ? { missing: `this is ${found.version}` } : {};
  return { name: `${name} (${found.version})`, prepares, start, ...missing };
};

/** max_prepared_statements is known from 1.21 on; before that it is as 0. */
const KNOWS_PREPARED = 121;
const withoutPrepared =
  typeof found !== 'string' && Number(found.version.split('.')[1]) >= KNOWS_PREPARED - 100
    ? ['max_prepared_statements = 0']
    : [];

const POOLERS: readonly PoolerKind[] = [
  pgBouncer('PgBouncer', withoutPrepared),
  pgBouncer('PgBouncer that knows prepared statements', ['max_prepared_statements = 200'], KNOWS_PREPARED),
  { name: 'a transaction pooler', prepares: false, start: startTransactionPooler },
];

/** The same tests behind each of them; what cannot be had here is skipped, and says why. */
export function behindEach(what: string, tests: (pooler: () => Pooler, kind: PoolerKind) => void): void {
  for (const kind of POOLERS) {
    const { name, missing } = kind;
    const why = missing === undefined ? '' : `: skipped, ${missing}`;
    describe.skipIf(missing !== undefined)(`${what} behind ${name}${why}`, () => {
      let pooler: Pooler;
      beforeAll(async () => {
        pooler = await kind.start(process.env.WORKFLOW_TEST_PG_URL!);
      });
      afterAll(() => pooler?.dispose());
      tests(() => pooler, kind);
    });
  }
}

for (const { name, missing } of POOLERS)
  if (missing !== undefined) console.warn(`Not tested behind ${name}: ${missing}`);

/** A database, and the way to it through the pooler. */
export interface PooledDatabase extends TestDatabase {
  readonly url: string;
  /** past the pooler */
  readonly direct: string;
}

export async function createPooled(
  pooler: Pooler,
  options: { empty?: boolean } = {},
): Promise<PooledDatabase> {
  const database = await (options.empty ? createEmptyPostgres() : createPostgres());
  const direct = database.url!;
  const through = new URL(direct);
  through.hostname = '127.0.0.1';
  through.port = String(pooler.port);
  const url = through.href;
  return {
    direct,
    url,
    options: { url },
    open: (more = {}) => openWorkflowDataSource({ logger: silentLogger, database: { url }, ...more }),
    dispose: database.dispose,
  };
}
