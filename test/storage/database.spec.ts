import pg from 'pg';
import { DataSource, QueryFailedError } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database, isConnectionError, isPoison, isTransient } from '../../lib/typeorm/database.js';
import { LeanQuery, Prepared } from '../../lib/typeorm/lean-query.js';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';

/** Resolves with each value given to `push`, in order; nothing is missed between two calls of `next`. */
class Mailbox<T> {
  private readonly values: T[] = [];
  private waiting: ((value: T) => void)[] = [];
  readonly push = (value: T): void => {
    const next = this.waiting.shift();
    if (next) next(value);
    else this.values.push(value);
  };
  next(): Promise<T> {
    return this.values.length > 0
      ? Promise.resolve(this.values.shift()!)
      : new Promise((done) => this.waiting.push(done));
  }
}

/** Asks over a connection of its own. */
async function admin(
  test: TestDatabase,
  work: (query: pg.Client['query']) => Promise<unknown>,
): Promise<void> {
  const client = new pg.Client({ connectionString: test.url });
  await client.connect();
  await work(client.query.bind(client) as pg.Client['query']);
  await client.end();
}

describe.each(DATABASES)('Database on $name', ({ create }) => {
  let test: TestDatabase;
  let source: DataSource;
  let database: Database;
  beforeAll(async () => {
    test = await create();
    source = await test.open();
    database = new Database(source);
    await database.query('create', 'create table item (id int primary key)', []);
  });
  afterAll(async () => {
    await database.close();
    await source.destroy();
    await test.dispose();
  });

  it('gives rows, and tells the observer each name', async () => {
    const names: string[] = [];
    database.onQuery = (name) => names.push(name);
    const rows = await database.query<{ big: string; at: Date; never: number }>(
      'types',
      `select $1::int8 as big, to_timestamp(0) as at, 'infinity'::timestamptz as never`,
      ['9007199254740993'],
    );
    database.onQuery = undefined;
    expect(rows).toEqual([{ big: '9007199254740993', at: new Date(0), never: Infinity }]);
    expect(names).toEqual(['types']);
  });

  it.each([
    ['text', ['', 'a', 'ä', '𝄞', '\'"\\{}', 'x'.repeat(100_000), 'ß'.repeat(5000), null]],
    ['int8', ['-9223372036854775808', 1, 0, 12345678901n.toString(), null]],
    ['float8', [0.1, -1e-300, 1764547200000.123, Infinity, null]],
    ['bool', [true, false, null]],
    ['text[]', [[], ['a', '', 'b"c\\', 'NULL', '{},', 'ä\n', null]]],
    ['int8[]', [[], ['9007199254740993', '-1', null]]],
    ['float8[]', [[], [0.5, -1e-300, null]]],
    ['bytea', [Buffer.from([0, 255, 92, 39]), Buffer.alloc(0), Buffer.alloc(70_000, 7), null]],
  ])('takes values of type %s, and gives the same back', async (type, values) => {
    for (const value of values) {
      const rows = await database.query<{ n: number; value: unknown }>(
        `echo ${type}`,
        `select $2::int as n, $1::${type} as value`,
        [value, 7],
      );
      const back = typeof value === 'number' && type === 'int8' ? String(value) : value;
      expect(rows).toEqual([{ n: 7, value: back }]);
    }
  });

  it('sends what only node-postgres can convert as it does', async () => {
    const at = new Date(1764547200123);
    const rows = await database.query('converted', 'select $1::text[] as list, $2::timestamptz as at', [
      ['a', 'b"c', null],
      at,
    ]);
    expect(rows).toEqual([{ list: ['a', 'b"c', null], at }]);
  });

  it('an error of whatever reads a value is one of the statement', async () => {
    const bad = new Error('no such day');
    const { master: pool } = source.driver as unknown as { master: pg.Pool };
    const { types } = pool.options as unknown as { types: { getTypeParser: (oid: number) => unknown } };
    const getTypeParser = types.getTypeParser;
    types.getTypeParser = (oid) => {
      const parse = getTypeParser(oid);
      return oid !== 1082 // date
        ? parse
        : () => {
            throw bad;
          };
    };
    try {
      await expect(database.query('day', `select date '2026-01-01' as day`, [])).rejects.toBe(bad);
    } finally {
      types.getTypeParser = getTypeParser;
    }
    expect(await database.query('goes on', 'select 1 as one', [])).toEqual([{ one: 1 }]);
  });

  it('describes a statement once for each connection, and one without rows too', async () => {
    const rows = (n: number) =>
      database.query('many', 'select g, null as no from generate_series(1, $1) g', [n]);
    expect(await rows(0)).toEqual([]);
    expect(await rows(2)).toEqual([
      { g: 1, no: null },
      { g: 2, no: null },
    ]);
    for (const id of [101, 102])
      expect(await database.query('nothing', 'insert into item values ($1)', [id])).toEqual([]);
  });

  it('keeps the connection of a statement for the next one, but not while somebody waits for the pool', async () => {
    const { master: pool } = source.driver as unknown as { master: pg.Pool };
    const pid = async () =>
      (await database.query<{ pid: number }>('pid', 'select pg_backend_pid() as pid', []))[0]!.pid;
    const first = await pid();
    expect(await pid()).toBe(first);
    const clients = await Promise.all(Array.from({ length: pool.options.max - 1 }, () => pool.connect()));
    const asked = pid();
    const waiting = pool.connect();
    await asked;
    (await waiting).release();
    for (const client of clients) client.release();
    await expect.poll(() => pool.idleCount).toBe(pool.totalCount);
  });

  it('prepares a statement once for each connection', async () => {
    for (let i = 0; i < 3; i += 1) await database.query('again', 'select $1::int as n', [i]);
    const rows = await database.query<{ name: string }>(
      'prepared',
      'select name from pg_prepared_statements',
      [],
    );
    expect(rows.filter(({ name }) => /(^|_)again$/.test(name))).toHaveLength(1);
    expect(database.usesPreparedStatements).toBe(true);
  });

  it('keeps its connection after an error of the statement, which says what it means', async () => {
    const { master: pool } = source.driver as unknown as { master: pg.Pool };
    const insert = (id: unknown): Promise<unknown> =>
      database.query('insert', 'insert into item values ($1)', [id]);
    await insert(1);
    const before = pool.totalCount;
    const duplicate = await insert(1).catch((e: unknown) => e);
    expect(duplicate).toMatchObject({ code: '23505' });
    expect([isPoison(duplicate), isTransient(duplicate)]).toEqual([true, false]);
    const outOfRange = await insert('99999999999').catch((e: unknown) => e);
    expect(isPoison(outOfRange)).toBe(true);
    expect(pool.totalCount).toBe(before);
  });

  it('hears what is notified, and nothing after it stopped', async () => {
    const heard = new Mailbox<string>();
    const stop = await database.listen('tasks "1"', heard.push, () => heard.push('reconnect'));
    const other = new Mailbox<string>();
    const stopOther = await database.listen('other', other.push, () => undefined);
    await database.notify('tasks "1"', 'a');
    await database.notify('other', 'not for the first');
    await database.notify('tasks "1"', '');
    expect([await heard.next(), await heard.next()]).toEqual(['a', '']);
    await stop();
    await stop();
    await database.notify('tasks "1"', 'late');
    await database.notify('other', 'end');
    expect([await other.next(), await other.next()]).toEqual(['not for the first', 'end']);
    await stopOther();
  });
});

describe('Database on a server that fails', () => {
  let test: TestDatabase;
  let source: DataSource;
  let database: Database;
  beforeAll(async () => {
    test = await createPostgres();
    source = await test.open();
    database = new Database(source);
  });
  afterAll(async () => {
    await database.close();
    await source.destroy();
    await test.dispose();
  });
  const others = `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;

  it('listens again after its connection was terminated, and says so once', async () => {
    const events = new Mailbox<string>();
    const stop = await database.listen('tasks', events.push, () => events.push('(reconnected)'));
    for (let round = 0; round < 2; round += 1) {
      await database.query('terminate', others, []);
      expect(await events.next()).toBe('(reconnected)');
      await database.notify('tasks', `after ${round}`);
      expect(await events.next()).toBe(`after ${round}`);
    }
    await stop();
  });

  it('survives the termination of idle and of busy connections', async () => {
    const { master: pool } = source.driver as unknown as { master: pg.Pool };
    const clients = await Promise.all([pool.connect(), pool.connect()]);
    // not events.once: that rejects at the pool's 'error', which comes first
    const gone = new Promise((done) => pool.once('remove', done));
    for (const client of clients) client.release();
    await database.query('terminate', others, []);
    await gone;

    // one that is kept between two statements, and cut in that moment
    const [kept] = await database.query<{ pid: number }>('kept', 'select pg_backend_pid() as pid', []);
    await admin(test, (query) => query('select pg_terminate_backend($1)', [kept!.pid]));
    expect(await database.query('after', 'select 1 as one', []).catch(isTransient)).toSatisfy(
      (answer) => answer === true || Array.isArray(answer),
    );

    const busy = database.query('sleep', 'select pg_sleep(60)', []).catch((e: unknown) => e);
    const other = await test.open();
    let ended = 0;
    while (ended === 0) {
      const rows = await other.query(`${others} and query like 'select pg_sleep%' and state = 'active'`);
      ended = rows.length;
    }
    await other.destroy();
    const error = await busy;
    expect(error).toMatchObject({ code: '57P01' });
    expect([isConnectionError(error), isTransient(error), isPoison(error)]).toEqual([true, true, false]);
    expect(await database.query('alive', 'select 1 as one', [])).toEqual([{ one: 1 }]);
  });

  it('drops the names of its statements when a transaction pooler is in between', async () => {
    const pooled = new Database(source);
    const names: string[] = [];
    pooled.onQuery = (name) => names.push(name);
    // what a pooler does: another server connection, which knows nothing of what this client prepared
    const { master: pool } = source.driver as unknown as { master: pg.Pool };
    const sql = 'select $1::int as n, pg_backend_pid() as pid';
    const [first] = await pooled.query<{ n: number; pid: number }>('pooled', sql, [1]);
    // it is kept for a moment
    await expect.poll(() => pool.idleCount).toBe(pool.totalCount);
    await source.query('deallocate all');
    expect(await source.query('select pg_backend_pid() as pid')).toEqual([{ pid: first!.pid }]);
    expect(await pooled.query('pooled', sql, [2])).toEqual([{ ...first, n: 2 }]);
    expect(pooled.usesPreparedStatements).toBe(false);
    expect(await pooled.query('pooled', sql, [3])).toEqual([{ ...first, n: 3 }]);
    expect(names).toEqual(['pooled', 'pooled', 'pooled']);
  });

  it('gives a connection up that does not answer, and sends the statement again on another one', async () => {
    const impatient = new Database(source, 1000);
    const held = new pg.Client({ connectionString: test.url });
    await held.connect();
    await held.query('select pg_advisory_lock(78)');
    const waiting = impatient.query('waits', 'select pg_advisory_xact_lock(78)', []);
    await expect(waiting).rejects.toSatisfy(isTransient);
    const moved = impatient.transaction(async (query) =>
      query('waits', 'select pg_advisory_xact_lock(78)', []),
    );
    await expect(moved).rejects.toSatisfy(isTransient);
    await held.end();
    expect(await impatient.query('answers', 'select 1 as n', [])).toEqual([{ n: 1 }]);
    await impatient.close();
  });

  it('keeps a connection of its own that waits for none of the pool, and opens it again when it was cut', async () => {
    const holder = new pg.Client({ connectionString: test.url });
    await holder.connect();
    await holder.query('select pg_advisory_lock(77)');
    const lock = () => database.query('busy', 'select pg_advisory_xact_lock(77)', []);
    const blocked = Array.from({ length: 20 }, lock);
    // every connection of the pool waits for the lock by now, or will: this one does not
    const [first] = await database.queryReserved<{ pid: number }>(
      'own',
      'select pg_backend_pid() as pid',
      [],
    );
    await holder.query('select pg_terminate_backend($1)', [first!.pid]);
    const again = async () =>
      (await database.queryReserved<{ pid: number }>('own', 'select pg_backend_pid() as pid', []))[0]!.pid;
    await expect.poll(() => again().catch(() => first!.pid), { timeout: 10_000 }).not.toBe(first!.pid);
    await holder.end();
    await Promise.all(blocked);
  });

  it('is refused for a DataSource that is not initialized', () => {
    const asleep = new DataSource({ type: 'postgres' });
    expect(() => new Database(asleep)).toThrow(expect.objectContaining({ code: 'WF_INVALID_ARGUMENT' }));
  });
});

it('a statement that cannot be written is an error that the client hands out, once', () => {
  const ends: unknown[] = [];
  const client = { getTypeParser: () => String } as unknown as pg.PoolClient;
  const query = new LeanQuery(new Prepared('n', 'select 1'), [1], client, (error) => ends.push(error));
  const full = new Error('no memory');
  const connection = {
    parsedStatements: { n: 'select 1' },
    stream: {
      write: () => {
        throw full;
      },
    },
  };
  expect(query.submit(connection as unknown as pg.Connection)).toBe(full);
  query.handleError(full);
  query.handleError(new Error('late'));
  expect(ends).toEqual([full]);
});

describe('what an error means', () => {
  const sql = (code: string): Error => Object.assign(new Error('x'), { code });
  it.each([
    [sql('08006'), 'connection'],
    [sql('57P01'), 'connection'],
    [sql('57P03'), 'connection'],
    [sql('53300'), 'connection'],
    [sql('ECONNRESET'), 'connection'],
    [sql('EPIPE'), 'connection'],
    [new Error('Connection terminated unexpectedly'), 'connection'],
    [new Error('timeout exceeded when trying to connect'), 'connection'],
    [new QueryFailedError('select', [], sql('57P01')), 'connection'],
    [new Error('wrapped', { cause: sql('ECONNREFUSED') }), 'connection'],
    [new Error('Query read timeout'), 'connection'],
    [Object.assign(sql('55000'), { severity: 'FATAL' }), 'connection'],
    [Object.assign(sql('55000'), { severity: 'ERROR' }), 'other'],
    [sql('40001'), 'transient'],
    [sql('40P01'), 'transient'],
    [new QueryFailedError('select', [], sql('55P03')), 'transient'],
    [sql('22P05'), 'poison'],
    [sql('23514'), 'poison'],
    [new QueryFailedError('select', [], sql('54000')), 'poison'],
    [sql('42601'), 'other'],
    [sql('ENOENT'), 'other'],
    [new Error('Connection of dots'), 'other'],
    [undefined, 'other'],
    ['text', 'other'],
  ])('%s: %s', (error, meaning) => {
    expect({
      connection: isConnectionError(error),
      transient: isTransient(error),
      poison: isPoison(error),
    }).toEqual({
      connection: meaning === 'connection',
      transient: meaning === 'connection' || meaning === 'transient',
      poison: meaning === 'poison',
    });
  });
});
