import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import type { AdvanceCommit, Task } from '../../lib/ports/index.js';
import { Database } from '../../lib/typeorm/database.js';
import { sqlStateOf } from '../../lib/typeorm/query-errors.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { session, untilBlocked } from '../client/support.js';
import { Bench, SettableClock } from '../contract/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { boot, Gates, until, type Instance } from './support.js';

/**
 * An event that is committed while the end of its run waits for the row of the task: the end's snapshot is older, and does not show
 * the message. PGlite has one session, where nobody waits for anybody.
 */

type Next = AdvanceCommit['next'];
const COMPLETED: Next = { to: 'completed', result: '1' };
const FAILED: Next = { to: 'failed', error: '{"why":1}' };
const CANCELLED: Next = { to: 'cancelled' };
const AGAIN: Next = { to: 'continued', payload: '"again"', deadlineInMs: null };

const LOCK_TIMEOUT = '55P03';

describe('an event that comes while the end of its run waits for the lock', () => {
  let db: TestDatabase;
  let source: DataSource;
  let observer: pg.Client;
  let b: Bench;
  const clock = new SettableClock();
  beforeAll(async () => {
    db = await createPostgres();
    source = await db.open();
    observer = await session(db);
    const store = new TypeOrmRunStore(new Database(source), tablesOf(undefined), clock);
    b = new Bench({ store, clock, dispose: async () => undefined });
  });
  afterAll(async () => {
    await observer?.end();
    await source?.destroy();
    await db?.dispose();
  });

  const inboxOf = (...tasks: readonly Task[]): Promise<{ execution: string }[]> =>
    source.query('select execution from workflow_message where execution = any($1)', [
      tasks.map(({ execution }) => execution),
    ]);

  /** The event is in its transaction as the end is sent, and is committed once that waits. */
  async function meet<T>(
    runIds: readonly string[],
    like: string,
    end: () => Promise<T>,
    event = 'go',
  ): Promise<T> {
    let ending!: Promise<T>;
    await source.transaction(async (manager) => {
      for (const runId of runIds) {
        const request = { eventId: randomUUID(), event, data: '1', runId, keepForMs: null };
        expect(await b.store.notify(request, manager)).toEqual({ woken: [], kept: true });
      }
      // a flush is patient for half a second; then the same again, as the runtime sends it
      const again = (): Promise<T> =>
        end().catch((error: unknown) => {
          if (sqlStateOf(error) === LOCK_TIMEOUT) return again();
          throw error;
        });
      ending = again();
      await untilBlocked(observer, like);
    });
    return ending;
  }

  /** What the rounds of a process do, and that they have nothing to do then. */
  async function round(): Promise<void> {
    if ((await b.store.expire()).owed) await b.store.settle();
    expect((await b.store.expire()).owed).toBe(false);
  }

  const row = (): Partial<AdvanceCommit> => ({ rows: [b.fact('a', 1)] });
  const ENDS: [string, Next, string, () => Partial<AdvanceCommit>][] = [
    ['completed, lean, with a row', COMPLETED, 'for update', () => ({ lean: true, ...row() })],
    ['completed, lean, without a row', COMPLETED, 'locked as materialized', () => ({ lean: true })],
    ['failed, lean, with a row', FAILED, 'for update', () => ({ lean: true, ...row() })],
    ['failed, lean, without a row', FAILED, 'locked as materialized', () => ({ lean: true })],
    ['completed', COMPLETED, 'input as', row],
    ['failed', FAILED, 'input as', row],
    ['cancelled', CANCELLED, 'input as', row],
  ];
  it.each(ENDS)('%s: nothing of it stays', async (name, next, like, more) => {
    const task = await b.claimed(name);
    expect(await meet([task.runId], like, () => b.commit(task, { ...more(), next }))).toBe('committed');
    expect(await b.status(task)).toBe(next.to);
    await round();
    expect(await inboxOf(task)).toEqual([]);
  });

  it('of many that end in one flush: nothing of it stays, and one that goes on keeps its own', async () => {
    const tasks: Task[] = [];
    for (const name of ['many one', 'many two', 'many three']) tasks.push(await b.claimed(name));
    const [one, two, three] = tasks as [Task, Task, Task];
    const commits = [
      b.commitOf(one, { lean: true, next: COMPLETED }),
      b.commitOf(two, { lean: true, next: FAILED }),
      b.commitOf(three, { lean: true, next: { to: 'suspend', dueAt: null } }),
    ];
    const runIds = tasks.map(({ runId }) => runId);
    const flush = () => b.store.commit(commits);
    expect(await meet(runIds, 'locked as materialized', flush)).toEqual(['committed', 'committed', 'due']);
    await round();
    expect(await inboxOf(...tasks)).toEqual([{ execution: three.execution }]);
    await b.store.cancel({ runIds: [three.runId] });
    await round();
  });

  it('cancelled from outside: nothing of it stays', async () => {
    const task = await b.claimed('cancelled from outside');
    const cancel = () => b.store.cancel({ runIds: [task.runId] });
    expect(await meet([task.runId], 'target as materialized', cancel)).toHaveLength(1);
    await round();
    expect(await b.status(task)).toBe('cancelled');
    expect(await inboxOf(task)).toEqual([]);
  });

  it('cancelled with its parent: nothing of it stays', async () => {
    const { parent, child } = await family('cancelled');
    await b.store.cancel({ runIds: [parent.runId] });
    const { cancelled } = await meet([child.runId], 'target as materialized', () => b.store.settle());
    expect(cancelled).toEqual([child.execution]);
    await round();
    expect(await inboxOf(parent, child)).toEqual([]);
  });

  it('a child: nothing of it stays, and its parent is told', async () => {
    const { parent, child } = await family('told');
    const end = () => b.commit(child, { next: COMPLETED });
    expect(await meet([child.runId], 'input as', end)).toBe('committed');
    await round();
    expect(await inboxOf(parent, child)).toEqual([{ execution: parent.execution }]);
    await b.store.cancel({ runIds: [parent.runId] });
    await round();
  });

  it('cancelled from outside, with something to undo: it is there until that is done', async () => {
    const task = await b.claimed('undoes');
    await b.commit(task, { rollbacks: 1, next: { to: 'suspend', dueAt: null } });
    const cancel = () => b.store.cancel({ runIds: [task.runId] });
    expect(await meet([task.runId], 'target as materialized', cancel)).toHaveLength(1);
    await round();
    const [undoing] = await b.claim();
    const { inbox, wanted } = await b.load(undoing!);
    expect(inbox).toHaveLength(1);
    expect(await b.commit(undoing!, { wantedSeen: wanted, next: CANCELLED })).toBe('committed');
    await round();
    expect(await inboxOf(task)).toEqual([]);
  });

  it('continued as a new execution: that is given it', async () => {
    const task = await b.claimed('continued');
    expect(await meet([task.runId], 'input as', () => b.commit(task, { next: AGAIN }))).toBe('due');
    const [again] = await b.claim();
    const { inbox, wanted } = await b.load(again!);
    expect(inbox).toMatchObject([{ event: 'go' }]);
    expect(await b.commit(again!, { wantedSeen: wanted, next: AGAIN })).toBe('committed');
    const [next] = await b.claim();
    expect(next!.execution).not.toBe(task.execution);
    expect((await b.load(next!)).inbox).toMatchObject([{ event: 'go' }]);
    expect((await b.store.expire()).owed).toBe(false);
    await b.store.cancel({ runIds: [task.runId] });
    await round();
    expect(await inboxOf(task, next!)).toEqual([]);
  });

  async function family(name: string): Promise<{ parent: Task; child: Task }> {
    const parent = await b.claimed(`parent ${name}`);
    const below = { execution: parent.execution, key: 'part', depth: 1, cascades: true };
    const child = await b.claimed(`child ${name}`, { parent: below });
    return { parent, child };
  }
});

@Workflow({ name: 'ends-with-its-step' })
class EndsWithItsStep {
  async run(ctx: WorkflowContext): Promise<string> {
    return ctx.run('last', () => 'done');
  }
}

it('of a run of an application: its rounds leave nothing', async () => {
  const db = await createPostgres();
  const gates = new Gates();
  let instance: Instance | undefined;
  let observer: pg.Client | undefined;
  try {
    observer = await session(db);
    instance = await boot(db, { providers: [EndsWithItsStep], transport: 'in-process', probe: gates });
    const client = instance.get(WorkflowClient);
    const flush = gates.hold('flush-sent');
    const run = await client.trigger(EndsWithItsStep, undefined, { runId: 'one' });
    await flush.reached;
    await instance.database.source.transaction(async (manager) => {
      await client.notify('nobody waits', 1, { runId: 'one', manager });
      flush.open();
      await untilBlocked(observer!, 'for update');
    });
    expect(await run.result()).toBe('done');
    const rows = () =>
      instance!.rows(
        `select 'inbox' from workflow_message union all select 'mark' from workflow_run where unreported`,
      );
    await until(async () => (await rows()).length === 0, rows);
  } finally {
    await instance?.app.close();
    await observer?.end();
    await db.dispose();
  }
});
