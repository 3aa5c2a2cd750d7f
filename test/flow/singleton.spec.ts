import { Injectable } from '@nestjs/common';
import { afterEach, describe, expect, it } from 'vitest';
import { currentStep, Workflow, WorkflowClient, WorkflowContext, type Singleton } from 'nestjs-workflow';
import { boot, until, type Instance } from '../races/support.js';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';

/** Runs that stay open until a test lets them go. Shared by all instances of a test. */
class Desk {
  readonly open = new Map<string, () => void>();
  readonly order: string[] = [];
  most = 0;

  async sit(runId: string): Promise<string> {
    this.order.push(runId);
    const { signal } = currentStep();
    await new Promise<void>((resolve) => {
      this.open.set(runId, resolve);
      signal.addEventListener('abort', () => resolve());
      this.most = Math.max(this.most, this.open.size);
    });
    this.open.delete(runId);
    return runId;
  }

  end(): void {
    for (const resolve of this.open.values()) resolve();
  }
}

@Injectable()
class Work {
  static desk = new Desk();
}

@Workflow({ name: 'desk' })
class AtDesk {
  async run(ctx: WorkflowContext<number>): Promise<string> {
    return ctx.run('sit', () => Work.desk.sit(ctx.runId));
  }
}

@Workflow({ name: 'per-user', singleton: { key: ({ user }) => `user-${user}`, policy: 'skip' } })
class PerUser {
  async run(ctx: WorkflowContext<{ user: string }>): Promise<string> {
    return ctx.run('sit', () => Work.desk.sit(ctx.runId));
  }
}

@Workflow({ name: 'again' })
class Again {
  async run(ctx: WorkflowContext<number>): Promise<string> {
    if (ctx.payload > 0) return ctx.continueAsNew(ctx.payload - 1);
    return ctx.run('sit', () => Work.desk.sit(ctx.runId));
  }
}

@Workflow({ name: 'undoing' })
class Undoing {
  async run(ctx: WorkflowContext<void>): Promise<string> {
    await ctx.run('do', () => 1);
    ctx.onRollback('undo', async () => void (await Work.desk.sit('undo')));
    return ctx.run('sit', () => Work.desk.sit(ctx.runId));
  }
}

@Workflow({ name: 'inviter' })
class Inviter {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    return ctx.invoke('child', PerUser, { user: ctx.payload });
  }
}

const providers = [Work, AtDesk, PerUser, Inviter, Again, Undoing];
const of = (policy: Singleton['policy'], key = 'k'): { singleton: Singleton } => ({
  singleton: { key, policy },
});

let database: TestDatabase;
let instances: Instance[] = [];
async function start(count = 1): Promise<WorkflowClient[]> {
  Work.desk = new Desk();
  instances = await Promise.all(
    Array.from({ length: count }, () => boot(database, { providers, transport: 'in-process' })),
  );
  return instances.map((one) => one.get(WorkflowClient));
}

afterEach(async () => {
  Work.desk.end();
  for (const { app } of instances) await app.close();
  await database.dispose();
});

describe.each(DATABASES)('singletons on $name', ({ create }) => {
  it('queue: the next starts when the one before has ended, failed or was cancelled', async () => {
    database = await create();
    const [client] = await start();
    const ids = ['a', 'b', 'c', 'd'];
    for (const runId of ids) await client!.trigger(AtDesk, 1, { runId, ...of('queue') });
    await until(() => Work.desk.open.has('a'));
    expect((await client!.get('b')).status).toBe('pending');
    await client!.cancel('c');
    Work.desk.end();
    await until(() => Work.desk.open.has('b'));
    await client!.cancel('b');
    await until(() => Work.desk.open.has('d'));
    Work.desk.end();
    expect(await client!.run(AtDesk, 'd').result()).toBe('d');
    expect(Work.desk.order).toEqual(['a', 'b', 'd']);
  });

  it('skip: the key of the workflow comes from the payload; the run that holds it is given', async () => {
    database = await create();
    const [client] = await start();
    const first = await client!.trigger(PerUser, { user: 'x' });
    const same = await client!.trigger(PerUser, { user: 'x' });
    const other = await client!.trigger(PerUser, { user: 'y' });
    const [many, again] = await client!.triggerMany(PerUser, [
      { payload: { user: 'x' } },
      { payload: { user: 'z' } },
    ]);
    expect([first, same, other, many, again].map((run) => run!.created)).toEqual([
      true,
      false,
      true,
      false,
      true,
    ]);
    expect(same.runId).toBe(first.runId);
    expect(many!.runId).toBe(first.runId);
    await until(() => Work.desk.open.size === 3);
    const inviter = await client!.trigger(Inviter, 'x');
    await expect(inviter.result()).rejects.toThrow(/Singleton key "user-x" is held by run/);
    Work.desk.end();
    expect(await same.result()).toBe(first.runId);
    expect((await client!.trigger(PerUser, { user: 'x' })).created).toBe(true);
  });

  it('cancel-previous: the run before is cancelled, its step aborted, and the new one starts', async () => {
    database = await create();
    const [client] = await start();
    await client!.trigger(AtDesk, 1, { runId: 'a', ...of('cancel-previous') });
    await until(() => Work.desk.open.has('a'));
    await client!.trigger(AtDesk, 1, { runId: 'b', ...of('cancel-previous') });
    expect((await client!.get('a')).status).toBe('cancelled');
    await until(() => Work.desk.open.has('b') && !Work.desk.open.has('a'));
    Work.desk.end();
    expect(await client!.run(AtDesk, 'b').result()).toBe('b');
  });

  it('a run that goes on as new keeps its key, its priority and its flow control', async () => {
    database = await create();
    const [client] = await start();
    const flowControl = { key: 'f', parallelism: 1 };
    await client!.trigger(Again, 3, { runId: 'a', flowControl, priority: 2, ...of('queue') });
    await client!.trigger(AtDesk, 1, { runId: 'b', ...of('queue') });
    expect((await client!.trigger(AtDesk, 1, { runId: 'c', ...of('skip') })).runId).toBe('a');
    await until(() => Work.desk.open.has('a'));
    expect(await client!.flowControl.info('f')).toMatchObject({ running: 1 });
    expect(
      await instances[0]!.rows('select priority from workflow_task where lease_owner is not null'),
    ).toEqual([{ priority: 2 }]);
    expect((await client!.get('b')).status).toBe('pending');
    Work.desk.end();
    await until(() => Work.desk.open.has('b'));
  });

  it('a run that undoes what it did keeps its key until it is done', async () => {
    database = await create();
    const [client] = await start();
    await client!.trigger(Undoing, undefined, { runId: 'a', ...of('queue') });
    await until(() => Work.desk.open.has('a'));
    await client!.trigger(AtDesk, 1, { runId: 'b', ...of('cancel-previous') });
    await until(() => Work.desk.open.has('undo'));
    expect((await client!.get('b')).status).toBe('pending');
    Work.desk.open.get('undo')!();
    await until(() => Work.desk.open.has('b'));
    expect((await client!.get('a')).status).toBe('cancelled');
  });

  it('in the transaction of a caller each policy holds once that commits', async () => {
    database = await create();
    const [client] = await start();
    await client!.trigger(AtDesk, 1, { runId: 'a', ...of('queue') });
    await until(() => Work.desk.open.has('a'));
    await instances[0]!.database.source.transaction(async (manager) => {
      await client!.trigger(AtDesk, 1, { runId: 'b', manager, ...of('cancel-previous') });
      const skipped = await client!.trigger(PerUser, { user: 'x' }, { manager });
      expect(skipped.created).toBe(true);
    });
    await until(() => Work.desk.open.has('b') && !Work.desk.open.has('a') && Work.desk.open.size === 2);
    expect((await client!.get('a')).status).toBe('cancelled');
  });

  it('a bad singleton is refused, and nothing is written', async () => {
    database = await create();
    const [client] = await start();
    for (const singleton of [{ key: '', policy: 'skip' }, { key: 'k', policy: 'replace' }, { key: 'k' }]) {
      await expect(client!.trigger(AtDesk, 1, { singleton: singleton as Singleton })).rejects.toMatchObject({
        code: 'WF_INVALID_ARGUMENT',
      });
    }
    expect((await client!.list()).runs).toEqual([]);
  });
});

describe('three processes that trigger at once', () => {
  it('queue: all of them run, one at a time', async () => {
    database = await createPostgres();
    const clients = await start(3);
    const runs = await Promise.all(
      Array.from({ length: 24 }, (_, i) => clients[i % 3]!.trigger(AtDesk, i, of('queue'))),
    );
    const ended = Promise.all(runs.map((run) => run.result()));
    let over = false;
    void ended.finally(() => (over = true));
    while (!over) {
      Work.desk.end();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await ended;
    expect(Work.desk.most).toBe(1);
    expect(new Set(Work.desk.order).size).toBe(24);
  });

  it('skip: one of them is created', async () => {
    database = await createPostgres();
    const clients = await start(3);
    const runs = await Promise.all(
      Array.from({ length: 12 }, (_, i) => clients[i % 3]!.trigger(AtDesk, i, of('skip'))),
    );
    expect(runs.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(runs.map(({ runId }) => runId)).size).toBe(1);
    await until(() => Work.desk.open.size === 1);
  });

  it('cancel-previous: one is left, and it runs', async () => {
    database = await createPostgres();
    const clients = await start(3);
    const runs = await Promise.all(
      Array.from({ length: 9 }, (_, i) => clients[i % 3]!.trigger(AtDesk, i, of('cancel-previous'))),
    );
    const statuses = async (): Promise<string[]> =>
      (await Promise.all(runs.map((run) => run.get()))).map(({ status }) => status);
    await until(async () => (await statuses()).includes('running'), statuses);
    expect((await statuses()).filter((status) => status === 'cancelled')).toHaveLength(8);
    await until(() => Work.desk.open.size === 1);
  });
});
