import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import { expect, it, vi } from 'vitest';
import { Database } from '../../lib/typeorm/database.js';
import { PgHeartbeatThread } from '../../lib/typeorm/pg-heartbeat-thread.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { Bench, SettableClock } from '../contract/support.js';
import { silentLogger } from '../support/silent-logger.js';
import { behindEach, createPooled, type PooledDatabase } from './support.js';

behindEach('the database', (pooler, kind) => {
  /** Two processes, each with a pool of its own. */
  async function twice(
    use: (one: Database, other: Database, pooled: PooledDatabase) => Promise<void>,
  ): Promise<void> {
    const pooled = await createPooled(pooler());
    const sources: DataSource[] = [await pooled.open(), await pooled.open()];
    const [one, other] = sources.map((source) => new Database(source)) as [Database, Database];
    try {
      await use(one, other, pooled);
    } finally {
      await Promise.all([one.close(), other.close()]);
      await Promise.all(sources.map((source) => source.destroy()));
      await pooled.dispose();
    }
  }

  const many = <T>(count: number, work: (n: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, (_, n) => work(n)));

  it('is migrated once by processes that boot together', async () => {
    const pooled = await createPooled(pooler(), { empty: true });
    const sources = await many(3, () => pooled.open());
    const direct = new pg.Client({ connectionString: pooled.direct });
    await direct.connect();
    const { rows } = await direct.query('select name from workflow_migration');
    expect(rows).toHaveLength(sources[0]!.migrations.length);
    // held by the transaction, not by a session that belongs to somebody else by now
    const { rows: locks } = await direct.query(`select 1 from pg_locks where locktype = 'advisory'`);
    expect(locks).toEqual([]);
    await direct.end();
    await Promise.all(sources.map((source) => source.destroy()));
    await pooled.dispose();
  });

  it('answers every statement, also those that meet a connection where another process has prepared them', async () => {
    await twice(async (one, other) => {
      const ask = (database: Database, n: number): Promise<{ n: number }[]> =>
        database.query('ask', 'select $1::int as n, pg_sleep(0.001)', [n]);
      const inTransaction = (database: Database, n: number): Promise<{ n: number }[]> =>
        database.transaction(async (query) => {
          const [first] = await query<{ n: number }>('ask', 'select $1::int as n, pg_sleep(0.001)', [n]);
          return query('ask more', 'select $1::int as n', [first!.n]);
        });
      const reserved = async (database: Database): Promise<void> => {
        // one at a time, as beats are
        for (let n = 0; n < 50; n++)
          expect(await database.queryReserved('ask reserved', 'select $1::int as n', [n])).toEqual([{ n }]);
      };
      const beats = [reserved(one), reserved(other)];
      const answers = await many(200, (n) => (n % 4 < 2 ? ask : inTransaction)(n % 2 === 0 ? one : other, n));
      expect(answers.map(([row]) => row!.n)).toEqual(answers.map((_, n) => n));
      await Promise.all(beats);
      expect([one.usesPreparedStatements, other.usesPreparedStatements]).toEqual([
        kind.prepares,
        kind.prepares,
      ]);
    });
  });

  it('repeats a transaction whose statement met another connection, as a whole', async () => {
    await twice(async (one, other, pooled) => {
      const direct = new pg.Client({ connectionString: pooled.direct });
      await direct.connect();
      await direct.query('create table item (n int)');
      const insert = 'insert into item values ($1::int)';
      const twoItems = (database: Database, n: number): Promise<void> =>
        database.transaction(async (query) => {
          await query('first', insert, [n]);
          await query('second', `${insert} -- and again`, [n]);
        });
      await many(40, (n) => twoItems(n % 2 === 0 ? one : other, n));
      const { rows } = await direct.query('select n from item order by n');
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 80 }, (_, n) => Math.floor(n / 2)));
      await direct.end();
    });
  });

  it('never executes the statement of another schema or release in the place of its own', async () => {
    await twice(async (one, other) => {
      // the same name, and not the same text
      const ask = (database: Database, text: string): Promise<{ who: string }[]> =>
        database.query('workflow_claim', `select '${text}' as who where $1::int > 0`, [1]);
      const answers = await many(200, async (n) => {
        const mine = n % 2 === 0;
        return { mine, rows: await ask(mine ? one : other, mine ? 'one' : 'other') };
      });
      for (const { mine, rows } of answers) expect(rows).toEqual([{ who: mine ? 'one' : 'other' }]);
    });
  });

  it('takes the beats of the thread that beats for a blocked process', async () => {
    await twice(async (one, other) => {
      const worker = randomUUID();
      const tables = tablesOf(undefined);
      await one.query(
        'register',
        `insert into workflow_worker (id, host, pid, beat_at) values ($1, 'here', 1, 'epoch')`,
        [worker],
      );
      const beatAt = async (): Promise<number> =>
        (
          await other.query<{ beat_at: Date }>('beat at', 'select beat_at from workflow_worker', [])
        )[0]!.beat_at.getTime();
      const thread = new PgHeartbeatThread(one, tables, silentLogger);
      await thread.start({ worker, heartbeatMs: 50, maxBlockedMs: 60_000 });
      // again and again, on whichever connection
      for (let beats = 0, last = 0; beats < 5; beats++) {
        await vi.waitFor(async () => expect(await beatAt()).toBeGreaterThan(last), {
          timeout: 30_000,
          interval: 5,
        });
        last = await beatAt();
      }
      expect(thread.lastBeatAgo).toBeLessThan(Infinity);
      await thread.stop();
    });
  });

  it('leaves no setting behind in a connection that others use', async () => {
    await twice(async (one, other) => {
      const benchOf = (database: Database): Bench => {
        const clock = new SettableClock();
        const store = new TypeOrmRunStore(database, tablesOf(undefined), clock);
        return new Bench({ store, clock, dispose: async () => undefined });
      };
      // commits, answers and claims in lines set limits for themselves
      for (const bench of [benchOf(one), benchOf(other)]) {
        const { step } = await bench.withStep();
        expect(await bench.answer(step)).toBe('committed');
        const flow = { key: randomUUID(), parallelism: 1, rate: null, periodMs: null };
        await bench.store.trigger([bench.row(bench.id('line'), { flow })]);
        expect((await bench.store.claimFlow(bench.worker, [bench.workflow], 10)).tasks).toHaveLength(1);
      }
      const settings = await many(40, (n) =>
        (n % 2 === 0 ? one : other).query<{ pid: number }>(
          'settings',
          `select pg_backend_pid() as pid, current_setting('lock_timeout') as lock_timeout,
             current_setting('idle_in_transaction_session_timeout') as idle, pg_sleep(0.005)`,
          [],
        ),
      );
      expect(new Set(settings.map(([row]) => row!.pid)).size).toBeGreaterThan(1);
      for (const [row] of settings) expect(row).toMatchObject({ lock_timeout: '0', idle: '0' });
    });
  });
});
