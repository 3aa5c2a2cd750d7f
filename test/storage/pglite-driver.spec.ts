import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DATABASES, type TestDatabase } from '../support/databases.js';

/** What TypeORM and node-postgres do over PGlite is what they do over a server. */
describe.each(DATABASES)('TypeORM on $name', ({ name, create }) => {
  let database: TestDatabase;
  let source: DataSource;
  let pool: pg.Pool;
  beforeAll(async () => {
    database = await create();
    source = await database.open();
    pool = (source.driver as unknown as { master: pg.Pool }).master;
    await source.query('create table item (id int primary key, big bigint, raw bytea, doc jsonb)');
  });
  beforeEach(() => source.query('truncate item'));
  afterAll(async () => {
    await source.destroy();
    await database.dispose();
  });
  const insert = (id: number): string => `insert into item (id) values (${id})`;
  const ids = async (): Promise<number[]> =>
    (await source.query('select id from item order by id')).map(({ id }: { id: number }) => id);

  it('commits one of two concurrent transactions and rolls back the other', async () => {
    const failing = source.transaction(async (manager) => {
      await manager.query(insert(1));
      await manager.query(insert(2));
      throw new Error('no');
    });
    const passing = source.transaction(async (manager) => {
      await manager.query(insert(3));
      await manager.query(insert(4));
    });
    await Promise.all([expect(failing).rejects.toThrow('no'), passing]);
    expect(await ids()).toEqual([3, 4]);
  });

  it('keeps transactions and single statements apart when forty run at once', async () => {
    const work = Array.from({ length: 40 }, (_, i) =>
      i % 2 === 0
        ? source.query(insert(i))
        : source
            .transaction(async (manager) => {
              await manager.query(insert(i));
              await manager.query(insert(100 + i));
              if (i % 4 === 1) throw new Error('no');
            })
            .catch(() => undefined),
    );
    await Promise.all(work);
    expect(await ids()).toHaveLength(20 + 2 * 10);
  });

  it('lets timers and sockets have their turn beside a loop of queries', async () => {
    let fired = false;
    setTimeout(() => (fired = true), 1);
    while (!fired) await source.query('select 1');
  });

  it('gives int8 as a string, bytea as a Buffer, timestamptz as a Date, infinity as Infinity', async () => {
    const [row] =
      await source.query(`select 9007199254740993::int8 as big, '\\x00ff'::bytea as raw, '{"a":1}'::jsonb as doc,
      '2026-01-02 03:04:05.678901+02'::timestamptz as at, 'infinity'::timestamptz as never, '-infinity'::timestamptz as ever,
      '0044-03-15 12:00:00+00 BC'::timestamptz as bc, 7::int4 as small, true as yes, '{a,NULL}'::text[] as list, null::int8 as nothing`);
    expect(row).toEqual({
      big: '9007199254740993',
      raw: Buffer.from([0, 255]),
      doc: { a: 1 },
      at: new Date('2026-01-02T01:04:05.678Z'),
      never: Infinity,
      ever: -Infinity,
      bc: new Date('-000043-03-15T12:00:00Z'),
      small: 7,
      yes: true,
      list: ['a', null],
      nothing: null,
    });
  });

  it('tells how many rows were changed, and the code of a violated constraint', async () => {
    await source.query(insert(1));
    expect(await source.query('update item set big = 1 where id = 1')).toEqual([[], 1]);
    expect(await source.query('delete from item where id = 9')).toEqual([[], 0]);
    await expect(source.query(insert(1))).rejects.toMatchObject({ code: '23505' });
    expect(await ids()).toEqual([1]); // the connection is fit for use
  });

  it('rolls back to a savepoint', async () => {
    await source.transaction(async (manager) => {
      await manager.query(insert(1));
      await manager
        .transaction(async (inner) => {
          await inner.query(insert(2));
          throw new Error('no');
        })
        .catch(() => undefined);
      await manager.query(insert(3));
    });
    expect(await ids()).toEqual([1, 3]);
  });

  it('delivers to a connection that listens what another one notifies', async () => {
    const client = await pool.connect();
    const heard = new Promise((resolve) => client.once('notification', resolve));
    await client.query('listen news');
    await source.query(`select pg_notify('news', 'hello')`);
    expect(await heard).toMatchObject({ channel: 'news', payload: 'hello' });
    client.release(true);
  });

  it('lets two connections prepare statements of the same name', async () => {
    const [a, b] = await Promise.all([pool.connect(), pool.connect()]);
    const ask = (client: pg.PoolClient, text: string) => client.query({ name: 'same', text, values: [1] });
    for (let round = 0; round < 2; round += 1) {
      expect((await ask(a, 'select $1::int + 1 as n')).rows).toEqual([{ n: 2 }]);
      expect((await ask(b, 'select $1::int + 2 as n')).rows).toEqual([{ n: 3 }]);
    }
    a.release();
    b.release();
  });

  it('rolls back what a destroyed connection had open, and lets the others go on', async () => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query(insert(1));
    await client.query({ name: 'leftover', text: 'select 1', values: [] });
    const waiting = source.query(insert(2));
    client.release(new Error('broken'));
    await waiting;
    expect(await ids()).toEqual([2]);
    const left = await source.query(`select name from pg_prepared_statements where name like '%leftover'`);
    expect(left).toEqual([]);
  });

  it('goes on after a socket that breaks in the middle of a statement inside a transaction', async () => {
    const client = await pool.connect();
    client.on('error', () => undefined);
    await client.query('begin');
    const cut = client.query(insert(1));
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await expect(cut).rejects.toThrow('Connection terminated');
    client.release(true);
    await source.query(insert(2));
    expect(await ids()).toEqual([2]);
  });

  it('carries ten thousand rows of a kilobyte, and a value of five megabytes', async () => {
    const rows = await source.query(`select i, repeat('x', 1000) as filler from generate_series(1, 10000) i`);
    expect(rows).toHaveLength(10_000);
    const big = 'ü'.repeat(2_500_000);
    const [{ echo }] = await source.query('select $1::text as echo', [big]);
    expect(echo === big).toBe(true);
  });

  it.runIf(name === 'pglite')('ends a transaction with which a connection is given back', async () => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query(insert(1));
    client.release();
    await source.query(insert(2));
    expect(await ids()).toEqual([2]);
  });

  it.runIf(name === 'pglite')('serves a second DataSource on the same driver', async () => {
    const other = await database.open({ database: undefined, application: source });
    await Promise.all([source.query(insert(1)), other.query(insert(2))]);
    expect(await ids()).toEqual([1, 2]);
    await other.destroy();
    expect(await ids()).toEqual([1, 2]); // closed by its owner only
  });
});
