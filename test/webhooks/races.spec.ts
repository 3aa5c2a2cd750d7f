import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { orderedUuid } from '../../lib/client/ordered-uuid.js';
import { session, untilBlocked, untilStatus, type TestApp } from '../client/support.js';
import { send } from '../http/webhook-support.js';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import { callHook, Collects, localUrl, startWebhookApp, urlOf } from './support.js';

/** The moments at which a call may meet a run: none may lose the call, or leave the run asleep beside it. */
describe('a call that waits for the lock of its run', () => {
  let database: TestDatabase;
  let app: TestApp;
  let other: pg.Client;
  let observer: pg.Client;
  beforeAll(async () => {
    database = await createPostgres();
    // nothing is claimed: the states of the rows are made by hand
    app = await startWebhookApp(database, 'in-process', { workflow: { worker: false } });
    [other, observer] = [await session(database), await session(database)];
  });
  afterAll(async () => {
    await other?.end();
    await observer?.end();
    await app?.close();
    await database?.dispose();
  });

  /** A run that has a webhook and sleeps, or is being worked on. */
  async function run(leased: boolean): Promise<{ execution: string; event: string; token: string }> {
    const handle = await app.client.trigger(Collects, { calls: 1 });
    const token = randomBytes(24).toString('base64url');
    const event = `webhook:${token}`;
    const { rows } = await other.query<{ id: string }>(`select id from workflow_run where run_id = $1`, [
      handle.runId,
    ]);
    const execution = rows[0]!.id;
    await other.query(
      `insert into workflow_step (execution, key, name, kind, state, position, asked_at, finished_at, event, value, request)
       values ($1, 'hook', 'hook', 'webhook', 'journaled', 1, now(), now(), $2, '{}', $3)`,
      [execution, event, JSON.stringify({ name: 'hook', methods: ['POST'], verify: false })],
    );
    await other.query(
      `update workflow_task set fence = 5, due_at = 'infinity', lease_owner = $2 where execution = $1`,
      [execution, leased ? randomUUID() : null],
    );
    return { execution, event, token };
  }

  const begin = async (execution: string): Promise<void> => {
    await other.query('begin');
    await other.query('select from workflow_task where execution = $1 for update', [execution]);
  };
  const beginsToWait = async (execution: string, event: string, fence: number): Promise<void> => {
    await other.query(
      `insert into workflow_step (execution, key, name, kind, state, asked_at, event)
       values ($1, 'call', 'call', 'wait', 'pending', now(), $2)`,
      [execution, event],
    );
    await other.query('update workflow_task set lease_owner = null, fence = $2 where execution = $1', [
      execution,
      fence,
    ]);
  };
  const isDue = async (execution: string): Promise<{ due: boolean; wanted: number; kept: number }> => {
    const { rows } = await other.query<{ due: boolean; wanted: number; kept: number }>(
      `select due_at <= now() as due, wanted,
         (select count(*)::int from workflow_message m where m.execution = k.execution) as kept
       from workflow_task k where execution = $1`,
      [execution],
    );
    return rows[0]!;
  };
  const call = (token: string): Promise<string> =>
    app.store.callWebhook({ token, eventId: orderedUuid(), data: '1' });

  it('finds the wait that was committed meanwhile, under the lease it had seen', async () => {
    const { execution, event, token } = await run(true);
    await begin(execution);
    const called = call(token);
    await untilBlocked(observer, '%workflow_message%');
    await beginsToWait(execution, event, 5);
    await other.query('commit');
    expect(await called).toBe('due');
    expect(await isDue(execution)).toEqual({ due: true, wanted: 1, kept: 1 });
  });

  it('finds the wait that was committed meanwhile, under a lease it had not seen', async () => {
    const { execution, event, token } = await run(false);
    await begin(execution);
    const called = call(token);
    await untilBlocked(observer, '%workflow_message%');
    await beginsToWait(execution, event, 6);
    await other.query('commit');
    expect(await called).toBe('due');
    expect(await isDue(execution)).toEqual({ due: true, wanted: 1, kept: 1 });
  });

  it('makes a run due that was claimed meanwhile', async () => {
    const { execution, token } = await run(false);
    await begin(execution);
    const called = call(token);
    await untilBlocked(observer, '%workflow_message%');
    await other.query('update workflow_task set lease_owner = $2, fence = 6 where execution = $1', [
      execution,
      randomUUID(),
    ]);
    await other.query('commit');
    expect(await called).toBe('due');
  });

  it('lets a run sleep on that was only locked', async () => {
    const { execution, token } = await run(false);
    await begin(execution);
    const called = call(token);
    await untilBlocked(observer, '%workflow_message%');
    await other.query('commit');
    expect(await called).toBe('kept');
    expect(await isDue(execution)).toEqual({ due: false, wanted: 1, kept: 1 });
  });

  it('is gone with a run that ends meanwhile, and writes nothing', async () => {
    const { execution, token } = await run(false);
    await begin(execution);
    const called = call(token);
    await untilBlocked(observer, '%workflow_message%');
    await other.query('delete from workflow_task where execution = $1', [execution]);
    await other.query(`update workflow_run set status = 'cancelled', finished_at = now() where id = $1`, [
      execution,
    ]);
    await other.query('commit');
    expect(await called).toBe('gone');
    const { rows } = await other.query('select from workflow_message where execution = $1', [execution]);
    expect(rows).toEqual([]);
  });
});

describe.each(DATABASES)('on $name', ({ create }) => {
  it('a call at the very moment at which a run begins to wait reaches it, each time', async () => {
    const database = await create();
    // nobody polls for what a lost wake-up would leave behind
    const app = await startWebhookApp(database, 'in-process');
    try {
      for (let round = 0; round < 10; round++) {
        const runs = await Promise.all(
          Array.from({ length: 10 }, () => app.client.trigger(Collects, { calls: 2, later: true })),
        );
        const urls = await Promise.all(runs.map(async (run) => localUrl(app, await urlOf(run))));
        await Promise.all(runs.map(({ runId }) => untilStatus(app.client, runId, 'waiting')));
        await Promise.all(
          runs.flatMap((run, i) => [
            send(urls[i]!, { body: 'a' }),
            run.notify(`go ${run.runId}`, null),
            send(urls[i]!, { body: 'b' }),
          ]),
        );
        for (const run of runs) expect(await run.result({ timeout: '30s' })).toHaveLength(2);
      }
    } finally {
      await app.close();
      await database.dispose();
    }
  });

  it('an instance without the workflow takes calls, but none whose sender it cannot check', async () => {
    const database = await create();
    if (database.url === undefined) return database.dispose(); // embedded: one process
    const { Verifies } = await import('./support.js');
    const serving = await startWebhookApp(database, 'in-process');
    const other = await startWebhookApp(database, 'in-process', {
      providers: [],
      workflow: { worker: false },
    });
    try {
      const [open, checked] = [
        await serving.client.trigger(Collects, { calls: 1 }),
        await serving.client.trigger(Verifies, { calls: 1 }),
      ];
      const refused = await callHook(other, await urlOf(checked), { body: 'x' });
      expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
      expect(refused.text).toContain('WF_WEBHOOK_UNAVAILABLE');
      expect((await callHook(other, await urlOf(open), { body: 'x' })).status).toBe(202);
      expect(await open.result({ timeout: '30s' })).toHaveLength(1);
      await checked.cancel();
    } finally {
      await other.close();
      await serving.close();
      await database.dispose();
    }
  });
});
