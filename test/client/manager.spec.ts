import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEmptyPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import { dump, Echo, Go, startApp, untilStatus, Waits, type TestApp } from './support.js';

class Rollback extends Error {}

describe.each(DATABASES)("in the caller's transaction, on $name", ({ name, create }) => {
  let db: TestDatabase;
  let test: TestApp;
  let source: DataSource;
  beforeAll(async () => {
    db = await create();
    // whatever starts within the time of a test was announced: nobody looks by himself for an hour
    test = await startApp(db, { workflow: { worker: { pollInterval: '1h' } } });
    // PGlite has one session, which the application shares with the library; a server has the caller's own
    source =
      name === 'pglite'
        ? test.database.source
        : await new DataSource({ type: 'postgres', url: db.url! }).initialize();
    await source.query('create table orders (id text primary key)');
  });
  afterAll(async () => {
    if (source && source !== test.database.source) await source.destroy();
    await test?.close();
    await db?.dispose();
  });

  it('a run exists when that commits, and starts soon after', async () => {
    const { client } = test;
    const run = await source.transaction(async (manager) => {
      await manager.query(`insert into orders values ('o1')`);
      const handle = await client.trigger(Echo, { order: 'o1' }, { runId: 'o1', manager });
      expect(handle.created).toBe(true);
      return handle;
    });
    expect(await run.result({ timeout: '10s' })).toEqual({ order: 'o1' });
    expect(await source.query('select id from orders')).toEqual([{ id: 'o1' }]);
  });

  it('nothing is left when that rolls back, and the id is free', async () => {
    const { client } = test;
    const before = await dump(test);
    await expect(
      source.transaction(async (manager) => {
        await client.trigger(Echo, 1, { runId: 'rolled back', manager });
        await client.triggerMany(Echo, [{ payload: 1 }, { payload: 2 }], { manager });
        throw new Rollback();
      }),
    ).rejects.toBeInstanceOf(Rollback);
    expect(await dump(test)).toEqual(before);
    await expect(client.get('rolled back')).rejects.toMatchObject({ code: 'WF_RUN_NOT_FOUND' });
    expect((await client.trigger(Echo, 'another', { runId: 'rolled back' })).created).toBe(true);
  });

  it('many runs start after one commit', async () => {
    const { client } = test;
    const handles = await source.transaction((manager) =>
      client.triggerMany(
        Echo,
        Array.from({ length: 20 }, (_, payload) => ({ payload })),
        { manager },
      ),
    );
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: '10s' })))).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
  });

  it('gives a run that exists, and refuses a taken id, leaving the transaction usable', async () => {
    const { client } = test;
    await client.trigger(Echo, 'mine', { runId: 'here already' });
    await source.transaction(async (manager) => {
      const same = await client.trigger(Echo, 'mine', { runId: 'here already', manager });
      expect(same.created).toBe(false);
      await expect(client.trigger(Echo, 'yours', { runId: 'here already', manager })).rejects.toMatchObject({
        code: 'WF_RUN_EXISTS',
      });
      await manager.query(`insert into orders values ('after')`);
    });
    expect(await source.query(`select id from orders where id = 'after'`)).toHaveLength(1);
  });

  it('works with a manager outside of a transaction: it commits at once', async () => {
    const run = await test.client.trigger(Echo, 'auto', { manager: source.manager });
    expect(await run.result({ timeout: '10s' })).toBe('auto');
  });

  it('an event goes out with the commit, and soon after', async () => {
    const { client } = test;
    const run = await client.trigger(Waits, 'tx', { runId: 'tx' });
    await untilStatus(client, 'tx', 'waiting');
    await source.transaction(async (manager) => {
      expect(await client.notify(Go('tx'), 'with the commit', { manager })).toEqual({
        woken: ['tx'],
        kept: false,
      });
    });
    expect(await run.result({ timeout: '10s' })).toBe('with the commit');
  });

  it('an event does not go out with a rollback', async () => {
    const { client } = test;
    const run = await client.trigger(Waits, 'tx2', { runId: 'tx2' });
    await untilStatus(client, 'tx2', 'waiting');
    await expect(
      source.transaction(async (manager) => {
        await client.notify(Go('tx2'), 'never', { manager });
        await client.notify(Go('tx2'), 'never', { runId: 'tx2', manager });
        throw new Rollback();
      }),
    ).rejects.toBeInstanceOf(Rollback);
    await client.notify(Go('tx2'), 'this one');
    expect(await run.result({ timeout: '10s' })).toBe('this one');
  });

  // PGlite has one session: nobody can begin to wait while a transaction is open there, and there is no other database
  if (name === 'pglite') return;

  it('an event that is kept reaches a run that begins to wait while the transaction is open', async () => {
    const { client } = test;
    const run = await source.transaction(async (manager) => {
      expect(await client.notify(Go('meanwhile'), 'met', { keepFor: '1h', manager })).toEqual({
        woken: [],
        kept: true,
      });
      const handle = await client.trigger(Waits, 'meanwhile', { runId: 'meanwhile' });
      await untilStatus(client, 'meanwhile', 'waiting');
      return handle;
    });
    expect(await run.result({ timeout: '10s' })).toBe('met');
  });

  it('a manager of another database is refused', async () => {
    const elsewhere = await createEmptyPostgres();
    const other = await new DataSource({ type: 'postgres', url: elsewhere.url! }).initialize();
    try {
      const before = await dump(test);
      const refused = {
        code: 'WF_MANAGER_FOREIGN',
        message: expect.stringContaining('Pass an EntityManager of a DataSource on the database'),
      };
      const { manager } = other;
      const { client } = test;
      await expect(client.trigger(Echo, 1, { manager })).rejects.toMatchObject(refused);
      await expect(client.triggerMany(Echo, [{ payload: 1 }], { manager })).rejects.toMatchObject(refused);
      await expect(client.notify(Go('x'), 'y', { manager })).rejects.toMatchObject(refused);
      expect(await dump(test)).toEqual(before);
    } finally {
      await other.destroy();
      await elsewhere.dispose();
    }
  });
});
