import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defineEvent, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { RunStore } from '../../lib/ports/index.js';
import { session, untilBlocked } from '../client/support.js';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import { boot, Gates, until, type BootOptions, type Instance } from './support.js';

const Go = defineEvent<string>('go');

@Workflow({ name: 'waits' })
class Waits {
  async run(ctx: WorkflowContext<void>): Promise<string[]> {
    const first = await ctx.waitForEvent('first', Go(ctx.runId));
    const second = await ctx.waitForEvent('second', Go(`${ctx.runId} again`));
    return [first.data, second.data];
  }
}

@Workflow({ name: 'part' })
class Part {
  async run(ctx: WorkflowContext<number>): Promise<number> {
    const n = await ctx.run('n', async () => ctx.payload);
    if (n < 0) throw new Error('below zero');
    return n;
  }
}

@Workflow({ name: 'whole' })
class Whole {
  async run(ctx: WorkflowContext<number[]>): Promise<number> {
    const parts = await Promise.all(ctx.payload.map((n) => ctx.invoke('part', Part, n)));
    return parts.reduce((sum, n) => sum + n, 0);
  }
}

/** No poll and no beat helps: who is not told looks for nothing. */
const DEAF = { pollInterval: '1h', heartbeat: '1h', leaseTimeout: '3h' } as const;
const PROVIDERS = [Waits, Part, Whole];

describe.each(DATABASES)(
  'a run that is woken where there is a place for it, on $name',
  ({ name, create }) => {
    let db: TestDatabase;
    const open: Instance[] = [];
    beforeEach(async () => {
      db = await create();
    });
    afterEach(async () => {
      for (const instance of open.splice(0).toReversed()) await instance.app.close();
      await db?.dispose();
    });
    async function start(options: Partial<BootOptions> = {}): Promise<Instance> {
      const instance = await boot(db, { providers: PROVIDERS, worker: DEAF, ...options });
      open.push(instance);
      return instance;
    }
    /** Every task stands unleased: the run has come to its wait. */
    const waits = (at: Instance, runId: string, step: string): Promise<void> =>
      until(async () => {
        const rows = await at.rows<{ key: string; lease_owner: string | null }>(
          `select s.key, k.lease_owner from workflow_run r join workflow_step s on s.execution = r.id and s.state = 'pending'
         join workflow_task k on k.execution = r.id where r.run_id = '${runId}'`,
        );
        return rows.length === 1 && rows[0]!.key === step && rows[0]!.lease_owner === null;
      }, `${runId} waits for ${step}`);
    const claims = (at: Instance): { count: number } => {
      const seen = { count: 0 };
      at.database.onQuery = (statement) => {
        if (statement === 'workflow_claim') seen.count++;
      };
      return seen;
    };

    it.each(['in-process', 'http'] as const)('goes on without a claim, over %s', async (transport) => {
      const at = await start({ transport });
      const client = at.get(WorkflowClient);
      const run = await client.trigger(Waits, undefined, { runId: 'r' });
      await waits(at, 'r', 'first');
      const seen = claims(at);
      expect(await client.notify(Go('r'), 'a', { runId: 'r' })).toEqual({ woken: ['r'], kept: false });
      await waits(at, 'r', 'second');
      expect(await client.notify(Go('r again'), 'b')).toEqual({ woken: ['r'], kept: false });
      expect(await run.result()).toEqual(['a', 'b']);
      expect(seen.count).toBe(0);
    });

    it.each(['in-process', 'http'] as const)(
      'is told of its children without a claim, over %s',
      async (transport) => {
        const at = await start({ transport });
        const client = at.get(WorkflowClient);
        expect(await (await client.trigger(Whole, [1], { runId: 'one' })).result()).toBe(1);
        expect(await (await client.trigger(Whole, [1, 2, 3], { runId: 'three' })).result()).toBe(6);
        const failing = await client.trigger(Whole, [4, -1], { runId: 'fails' });
        await expect(failing.result()).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
        const owing = await at.rows(`select id from workflow_run where unreported or status = 'active'`);
        expect(owing).toEqual([]);
      },
    );

    it('with both places taken, goes on when one is free', async () => {
      const gates = new Gates();
      const at = await start({ probe: gates, worker: { ...DEAF, concurrency: 2 } });
      const client = at.get(WorkflowClient);
      const run = await client.trigger(Waits, undefined, { runId: 'r' });
      await waits(at, 'r', 'first');
      const held = [1, 2].map((n) => gates.hold('loaded', ({ runId }) => runId === `busy ${n}`));
      const busy = [1, 2].map((n) => client.trigger(Part, n, { runId: `busy ${n}` }));
      for (const { reached } of held) await reached;
      const seen = claims(at);
      await client.notify(Go('r'), 'a', { runId: 'r' });
      await client.notify(Go('r again'), 'b', { runId: 'r' });
      for (const gate of held) gate.open();
      expect(await run.result()).toEqual(['a', 'b']);
      expect(seen.count).toBeGreaterThan(0);
      for (const one of await Promise.all(busy)) await one.result();
    });

    it('and cancelled before it starts: nothing of it is executed any more', async () => {
      const gates = new Gates();
      const at = await start({ probe: gates });
      const client = at.get(WorkflowClient);
      const run = await client.trigger(Waits, undefined, { runId: 'r' });
      await waits(at, 'r', 'first');
      const woken = gates.hold('woken');
      const sent = client.notify(Go('r'), 'a', { runId: 'r' });
      await woken.reached;
      expect(await client.cancel('r')).toEqual({ cancelled: ['r'] });
      woken.open();
      await sent;
      await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
      expect(await at.rows(`select * from workflow_task`)).toEqual([]);
      expect((await client.journal('r')).map(({ state }) => state)).toEqual(['pending']);
    });

    // the PGlite of the tests has one session: nobody can hold a row there while another waits for it
    it.skipIf(name === 'pglite')(
      'by two processes at once: one goes on with it, and with both events',
      async () => {
        const [a, b] = [await start(), await start()];
        for (let i = 0; i < 10; i++) {
          const runId = `r${i}`;
          const run = await a.get(WorkflowClient).trigger(Waits, undefined, { runId });
          await waits(a, runId, 'first');
          await Promise.all([
            a.get(WorkflowClient).notify(Go(runId), 'a', { runId }),
            b.get(WorkflowClient).notify(Go(`${runId} again`), 'b', { runId }),
          ]);
          expect(await run.result({ timeout: '10s' })).toEqual(['a', 'b']);
        }
      },
    );
  },
);

describe('a run whose lease is given back while an event for it waits for the lock', () => {
  let db: TestDatabase;
  let at: Instance;
  beforeEach(async () => {
    db = await createPostgres();
    at = await boot(db, { providers: PROVIDERS, worker: false });
  });
  afterEach(async () => {
    await at?.app.close();
    await db?.dispose();
  });

  it.each(['with what was journaled', 'after a cancel that has something to undo'] as const)(
    '%s: is leased, and not taken for what the snapshot showed',
    async (how) => {
      const store: RunStore = at.get(RunStore as never);
      const worker = randomUUID();
      await at.get(WorkflowClient).trigger(Waits, undefined, { runId: 'r' });
      const { tasks } = await store.claim(worker, ['waits'], 1, null);
      const { taskId, execution, fence } = tasks[0]!;
      const other = await session(db);
      const observer = await session(db);
      await other.query('begin');
      if (how.startsWith('with')) {
        await other.query(`update workflow_task set lease_owner = null where id = $1`, [taskId]);
        await other.query(
          `insert into workflow_step (execution, key, name, kind, state, position, value, attempts, asked_at, finished_at)
           values ($1, 'a', 'a', 'step', 'journaled', 1, '1', 1, now(), now())`,
          [execution],
        );
      } else {
        await other.query(`update workflow_task set lease_owner = null, fence = fence + 1 where id = $1`, [
          taskId,
        ]);
        await other.query(`update workflow_run set cancelling_at = now() where id = $1`, [execution]);
      }
      const request = { eventId: randomUUID(), event: 'go/r', data: '1', runId: 'r', keepForMs: null };
      const taker = { worker, queues: ['waits'], places: 1, readRows: 32 };
      const sent = store.notify(request, undefined, taker);
      await untilBlocked(observer, 'workflow_task');
      await other.query('commit');
      const { owned } = await sent;
      expect(owned).toHaveLength(1);
      const [{ task, loaded } = { task: null, loaded: null }] = owned!;
      expect(task).toMatchObject({ taskId, fence: fence + (how.startsWith('with') ? 1 : 2) });
      expect(loaded).toBeNull();
      const [now] = await store.load([{ ...task!, position: 0 }]);
      expect(now!.rows.map(({ key }) => key)).toEqual(how.startsWith('with') ? ['a'] : []);
      expect(now!.header.cancelling).toBe(!how.startsWith('with'));
      for (const one of [other, observer]) await one.end();
    },
  );
});
