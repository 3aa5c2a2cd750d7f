import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HeartbeatThread, RunStore } from '../../lib/ports/index.js';
import { Database } from '../../lib/typeorm/database.js';
import { PgHeartbeatThread } from '../../lib/typeorm/pg-heartbeat-thread.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { threadConnection } from '../../lib/typeorm/thread-connection.js';
import { boot, until } from '../races/support.js';
import { createMemory, createPostgres, type TestDatabase } from '../support/databases.js';
import { recordingLogger } from '../support/silent-logger.js';

let test: TestDatabase;
let source: DataSource;
let database: Database;
let logger: ReturnType<typeof recordingLogger>;
const started: PgHeartbeatThread[] = [];
beforeEach(async () => {
  test = await createPostgres();
  source = await test.open();
  database = new Database(source);
  logger = recordingLogger();
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((thread) => thread.stop()));
  await database.close();
  await source.destroy();
  await test.dispose();
});

function make(code?: URL): PgHeartbeatThread {
  const thread = new PgHeartbeatThread(database, tablesOf(undefined), logger, code);
  started.push(thread);
  return thread;
}
const worker = randomUUID();
const settings = { worker, heartbeatMs: 50, maxBlockedMs: 60_000 };
const register = (): Promise<unknown> =>
  source.query(`insert into workflow_worker (id, host, pid, beat_at) values ($1, 'here', 1, 'epoch')`, [
    worker,
  ]);
const beatAt = async (): Promise<number> => {
  const [row] = (await source.query('select beat_at from workflow_worker')) as { beat_at: Date }[];
  return row!.beat_at.getTime();
};
/** Connections on which a thread has beaten. */
const connections = async (): Promise<number> =>
  (
    (await source.query(`select 1 from pg_stat_activity where datname = current_database()
      and query ~ '^update .*workflow_worker.* set beat_at = now\\(\\)'`)) as unknown[]
  ).length;

/** The main thread beats until the condition holds. */
async function beatingUntil(thread: PgHeartbeatThread, condition: () => boolean | Promise<boolean>) {
  await until(async () => {
    thread.beaten(0);
    return condition();
  }, 'while the main thread beats');
}

describe('the thread of the heartbeat', () => {
  it('does nothing while the main thread beats, takes its place when that is silent, and goes home again', async () => {
    await register();
    const thread = make();
    // the main thread is late after one and a half of them: on a machine that is busy it does stand still for a tenth of a second
    await thread.start({ ...settings, heartbeatMs: 400 });
    const begun = performance.now();
    await beatingUntil(thread, () => performance.now() - begun > 1200);
    expect(thread.lastBeatAgo).toBe(Infinity);
    expect(await beatAt()).toBe(0);
    expect(await connections()).toBe(0);

    await until(() => thread.lastBeatAgo < Infinity, 'the first beat');
    const first = await beatAt();
    expect(first).toBeGreaterThan(0);
    await until(async () => (await beatAt()) > first, 'the next one');
    expect(thread.lastBeatAgo).toBeLessThan(5000);
    expect(await connections()).toBe(1);

    await beatingUntil(thread, async () => (await connections()) === 0);
    expect(logger.lines).toEqual([]);
  });

  it('says nothing of a process that the others have presumed dead, and does not bring it back', async () => {
    const thread = make();
    await thread.start(settings);
    await until(async () => (await connections()) === 1, 'a beat');
    expect(thread.lastBeatAgo).toBe(Infinity);
    await register();
    await until(() => thread.lastBeatAgo < Infinity, 'a beat that counts');
    await source.query('delete from workflow_worker');
    await until(() => thread.lastBeatAgo > 500, 'none that counts');
    expect(await source.query('select 1 from workflow_worker')).toEqual([]);
  });

  it('gives a main thread up that is silent for too long', async () => {
    await register();
    const thread = make();
    // in which it has to connect and to beat
    await thread.start({ ...settings, maxBlockedMs: 3000 });
    await until(() => thread.lastBeatAgo < Infinity, 'the first beat');
    await until(async () => (await connections()) === 0, 'the end');
    const last = await beatAt();
    await until(() => thread.lastBeatAgo > 1000, 'none that follows');
    expect(await beatAt()).toBe(last);
  });

  it('ends its connection when it is stopped', async () => {
    await register();
    const thread = make();
    await thread.start(settings);
    await until(() => thread.lastBeatAgo < Infinity, 'the first beat');
    await thread.stop();
    expect(thread.lastBeatAgo).toBe(Infinity);
    await until(async () => (await connections()) === 0, 'the end of the connection');
    expect(logger.lines).toEqual([]);
  });

  it('is done without where its code is missing, as in a bundle', async () => {
    const thread = make(new URL('./missing.js', import.meta.url));
    await thread.start(settings);
    await until(() => logger.lines.length > 0, 'the warning');
    await thread.stop();
    expect(logger.lines).toEqual([
      expect.stringMatching(/^warn: No thread for the heartbeat \(Cannot find module .*missing\.js/),
    ]);
  });

  it('is started again when it dies', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'workflow-thread-'));
    const starts = join(folder, 'starts');
    const code = join(folder, 'thread.mjs');
    writeFileSync(
      code,
      `import { appendFileSync } from 'node:fs';
       import { parentPort } from 'node:worker_threads';
       appendFileSync(${JSON.stringify(starts)}, '1');
       parentPort.postMessage('ready');
       throw new Error('of the thread');`,
    );
    try {
      const thread = make(pathToFileURL(code));
      await thread.start(settings);
      await until(() => logger.lines.length >= 2, 'the second death');
      await thread.stop();
      expect(readFileSync(starts, 'utf8').length).toBeGreaterThanOrEqual(2);
      expect(new Set(logger.lines)).toEqual(
        new Set(['warn: The thread of the heartbeat has ended, and is started again: of the thread']),
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('is done without where the options of a connection cannot be given to it', async () => {
    const own = await test.open({
      database: { type: 'postgres', url: test.url!, extra: { password: () => 'a token' } },
    });
    try {
      const thread = new PgHeartbeatThread(new Database(own), tablesOf(undefined), logger);
      await thread.start(settings);
      await thread.stop();
      expect(logger.lines).toEqual([
        'debug: No thread for the heartbeat (the password is a function): a step that blocks the event loop loses its lease.',
      ]);
    } finally {
      await own.destroy();
    }
  });

  it('is not wanted for embedded PGlite', async () => {
    const own = await (await createMemory()).open();
    try {
      const thread = new PgHeartbeatThread(new Database(own), tablesOf(undefined), logger);
      await thread.start(settings);
      expect(logger.lines).toEqual([]);
    } finally {
      await own.destroy();
    }
  });
});

describe('the options of its connection', () => {
  it('are those of the pool, with what node-postgres has made invisible', () => {
    const pool = database.connections.pool.options;
    const ssl = { ca: 'the ca', key: 'the key' };
    Object.defineProperty(ssl, 'key', { enumerable: false });
    const given = { ...pool, ssl, max: 5, types: { getTypeParser: () => () => null } };
    Object.defineProperty(given, 'password', { enumerable: false, value: 'secret' });
    expect(threadConnection(given)).toMatchObject({
      connectionString: test.url,
      application_name: 'nestjs-workflow',
      password: 'secret',
      ssl: { ca: 'the ca', key: 'the key' },
    });
    expect(threadConnection(given)).not.toHaveProperty('types');
  });

  it.each([
    ['a stream', { stream: () => null }, '`stream` of the connection options is of this thread'],
    ['a check of the server', { ssl: { checkServerIdentity: () => undefined } }, 'could not be cloned'],
    ['a password that is asked for', { password: () => 'token' }, 'the password is a function'],
  ])('cannot be given away with %s', (_, given, why) => {
    expect(() => threadConnection(given)).toThrow(why);
  });
});

describe('a process whose own beats do not get through', () => {
  it('is in no doubt and keeps its leases while its thread beats, and sweeps nobody', async () => {
    const worker = { heartbeat: '200ms', leaseTimeout: '2s', pollInterval: '100ms' } as const;
    const a = await boot(test, { transport: 'in-process', worker, providers: [] });
    const b = await boot(test, { transport: 'in-process', worker, providers: [] });
    let send!: () => void;
    const back = new Promise<void>((resolve) => (send = resolve));
    try {
      const store = a.app.get(RunStore, { strict: false });
      const beat = store.beat.bind(store);
      store.beat = (...args) => back.then(() => beat(...args));
      const thread = a.app.get(HeartbeatThread, { strict: false });
      await until(() => thread.lastBeatAgo < Infinity, 'the thread');
      const begun = performance.now();
      while (performance.now() - begun < 4000) {
        expect(a.leases.inDoubt).toBe(false);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const registered = await b.rows<{ id: string }>('select id from workflow_worker');
      expect(registered.map(({ id }) => id)).toContain(a.leases.worker);

      await b.app.close();
      const dead = randomUUID();
      await store.register(dead, 'elsewhere', 1, []);
      await a.rows(`update workflow_worker set beat_at = now() - interval '1 hour' where id = '${dead}'`);
      await a.leases.sweep();
      expect(await a.rows(`select 1 from workflow_worker where id = '${dead}'`)).toHaveLength(1);
      send();
      await until(
        async () => (await a.rows(`select 1 from workflow_worker where id = '${dead}'`)).length === 0,
        'the sweep of one that beats well again',
      );
    } finally {
      send();
      await Promise.all([a.app.close(), b.app.close()]);
    }
  });
});
