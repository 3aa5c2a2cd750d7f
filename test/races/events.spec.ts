import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Workflow, WorkflowContext, WorkflowScheduler } from 'nestjs-workflow';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import {
  Go,
  session,
  startApp,
  untilBlocked,
  untilStatus,
  Waits,
  WORKFLOWS,
  type TestApp,
} from '../client/support.js';

/** Waits for the same event twice: the second time for 100 ms. */
@Workflow({ name: 'waits-twice' })
class WaitsTwice {
  async run(ctx: WorkflowContext<string>): Promise<string[]> {
    const first = await ctx.waitForEvent('first', Go(ctx.payload));
    const second = await ctx.waitForEvent('second', Go(ctx.payload), { timeout: '100ms' });
    return [first.data, second.timedOut ? 'nothing' : second.data];
  }
}

/** Waits for 50 ms, and then for as long as it takes. */
@Workflow({ name: 'impatient' })
class Impatient {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    const soon = await ctx.waitForEvent('soon', Go(ctx.payload), { timeout: '50ms' });
    if (!soon.timedOut) return `at once: ${soon.data}`;
    const late = await ctx.waitForEvent('late', Go(ctx.payload));
    return `later: ${late.data}`;
  }
}

/** Two open waits for one event. */
@Workflow({ name: 'waits-side-by-side' })
class WaitsSideBySide {
  async run(ctx: WorkflowContext<string>): Promise<string[]> {
    const both = await Promise.all([
      ctx.waitForEvent('left', Go(ctx.payload)),
      ctx.waitForEvent('right', Go(ctx.payload)),
    ]);
    return both.map(({ data }) => data);
  }
}

const PROVIDERS = [...WORKFLOWS, WaitsTwice, Impatient, WaitsSideBySide];

describe.each(DATABASES)('an event on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await create();
    test = await startApp(db, { providers: PROVIDERS, workflow: { worker: { concurrency: 600 } } });
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  it('that comes before the wait is committed is kept for it', async () => {
    const { client, probe } = test;
    const flush = probe.hold('flush-sent', 'before');
    const run = await client.trigger(WaitsTwice, 'before', { runId: 'before' });
    await flush.reached;
    expect(await client.notify(Go('before'), 'x', { keepFor: '1h' })).toEqual({ woken: [], kept: true });
    flush.release();
    expect(await run.result()).toEqual(['x', 'nothing']);
  });

  it('that comes after the wait is committed, and before it is looked for kept events, comes once', async () => {
    const { client, probe } = test;
    const suspended = probe.hold('suspended', 'after');
    const run = await client.trigger(WaitsTwice, 'after', { runId: 'after' });
    await suspended.reached;
    // it reaches the waiter, and is also found among the kept ones
    expect(await client.notify(Go('after'), 'x', { keepFor: '1h' })).toEqual({
      woken: ['after'],
      kept: false,
    });
    suspended.release();
    expect(await run.result()).toEqual(['x', 'nothing']);
  });

  it.each(['triggered', 'loaded', 'flush-sent', 'flush-durable', 'suspended'] as const)(
    'for one run that is at "%s" is not lost, and comes once',
    async (point) => {
      const { client, probe } = test;
      const id = `one run ${point}`;
      const held = probe.hold(point, id);
      const triggering = client.trigger(WaitsTwice, id, { runId: id });
      await held.reached;
      await client.notify(Go(id), 'x', { runId: id });
      held.release();
      expect(await (await triggering).result()).toEqual(['x', 'nothing']);
    },
  );

  it('wins against a timeout when both are there', async () => {
    const { client, probe, database } = test;
    const scheduler = test.app.get(WorkflowScheduler, { strict: false });
    const suspended = probe.hold('suspended', 'both');
    const run = await client.trigger(Impatient, 'both', { runId: 'both' });
    await suspended.reached;
    // nothing is claimed, and with that read, until the time has come and the event is there
    scheduler.stop();
    suspended.release();
    await scheduler.idle();
    const due = `select 1 from workflow_task where due_at <= now() and lease_owner is null`;
    await expect.poll(() => database.source.query(due)).toHaveLength(1);
    expect((await client.notify(Go('both'), 'x')).woken).toEqual(['both']);
    scheduler.resume();
    expect(await run.result()).toBe('at once: x');
  });

  it('that comes while the timeout is being stored is there for the next wait', async () => {
    const { client, probe } = test;
    // held at its wait until the next flush is waited for: 50 ms may have passed before anybody looks
    const suspended = probe.hold('suspended', 'stored');
    const run = await client.trigger(Impatient, 'stored', { runId: 'stored' });
    await suspended.reached;
    const flush = probe.hold('flush-sent', 'stored');
    suspended.release();
    await flush.reached;
    // the wait is open as far as anybody can see
    expect((await client.notify(Go('stored'), 'x')).woken).toEqual(['stored']);
    flush.release();
    expect(await run.result()).toBe('later: x');
  });

  it('that is kept reaches all who begin to wait later, each once, and no second wait of theirs', async () => {
    const { client } = test;
    await client.notify(Go('later'), 'kept', { keepFor: '1h' });
    const runs = await Promise.all([
      client.trigger(WaitsTwice, 'later'),
      client.trigger(WaitsTwice, 'later'),
    ]);
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual([
      ['kept', 'nothing'],
      ['kept', 'nothing'],
    ]);
  });

  it('goes to every open wait of a run, and two events to two waits in the order in which they came', async () => {
    const { client } = test;
    const both = await client.trigger(WaitsSideBySide, 'side', { runId: 'side' });
    await untilStatus(client, 'side', 'waiting');
    await client.notify(Go('side'), 'x');
    expect(await both.result()).toEqual(['x', 'x']);
    // the first one wakes it; it goes on when both are there, for the second wait is a short one
    const loaded = test.probe.hold('loaded', 'order');
    const twice = await client.trigger(WaitsTwice, 'order', { runId: 'order', delay: '1h' });
    await twice.notify(Go('order'), 'one');
    await twice.notify(Go('order'), 'two');
    loaded.release();
    expect(await twice.result()).toEqual(['one', 'two']);
  });

  it('reaches five hundred waiters, each once', async () => {
    const { client } = test;
    const runs = await client.triggerMany(
      Waits,
      Array.from({ length: 500 }, (_, n) => ({ payload: 'all', runId: `all-${n}` })),
    );
    await expect.poll(async () => (await client.getWaiters(Go('all'))).length, { timeout: 20_000 }).toBe(500);
    const { woken } = await client.notify(Go('all'), 'now');
    expect(new Set(woken).size).toBe(500);
    expect(woken).toHaveLength(500);
    expect(new Set(await Promise.all(runs.map((run) => run.result())))).toEqual(new Set(['now']));
    // no copy is left over for a run that has ended
    const left = await test.database.source.query(`select 1 from workflow_message where event = 'go:all'`);
    expect(left).toEqual([]);
  });
});

describe('an event and a suspension that meet on the row of the task', () => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await createPostgres();
    test = await startApp(db, { providers: PROVIDERS });
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  // both queue up behind a session that holds the row; the server says when each of them waits
  it.each(['the event first', 'the suspension first'])('%s: the run goes on with it', async (order) => {
    const { client, probe } = test;
    const [holder, observer] = [await session(db), await session(db)];
    try {
      const flush = probe.hold('flush-sent', order);
      const run = await client.trigger(WaitsTwice, order, { runId: order });
      await flush.reached;
      await holder.query('begin');
      await holder.query(
        `select 1 from workflow_task where execution = (select id from workflow_run where run_id = $1) for update`,
        [order],
      );
      const send = () => client.notify(Go(order), 'x', { runId: order });
      let sent: ReturnType<typeof send>;
      if (order === 'the event first') {
        sent = send();
        await untilBlocked(observer, 'target as materialized');
        flush.release();
        await untilBlocked(observer, 'workflow_', 2);
      } else {
        flush.release();
        await untilBlocked(observer, 'owned as materialized');
        sent = send();
        await untilBlocked(observer, 'workflow_', 2);
      }
      await holder.query('commit');
      await sent;
      expect(await run.result()).toEqual(['x', 'nothing']);
    } finally {
      await holder.end();
      await observer.end();
    }
  });
});
