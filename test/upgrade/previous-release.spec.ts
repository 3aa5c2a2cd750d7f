import type { Type } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as library from 'nestjs-workflow';
import { Workflow, WorkflowClient, WorkflowContext, WorkflowError } from 'nestjs-workflow';
import { Takeovers } from '../../lib/runtime/takeovers.js';
import { boot, until, type BootOptions, type Instance } from '../races/support.js';
import { bundle, Child } from '../support/child.js';
import { createEmptyPostgres, createPostgres, type TestDatabase } from '../support/databases.js';
import { previousRelease } from './release.js';
import { workloadOf } from './workload.js';

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}`);

/** The workflow that has a version, one version on. */
@Workflow({ name: 'versioned', version: '2', takesOver: ['1'] })
class Next {
  async run(ctx: WorkflowContext): Promise<string[]> {
    const first = await ctx.run('first', () => 'next');
    await ctx.waitForEvent('go', `go ${ctx.runId}`);
    return [first, await ctx.run('last', () => 'next')];
  }
}

describe('the release before, on the schema of this one', () => {
  let release: ReturnType<typeof previousRelease>;
  let program: Awaited<ReturnType<typeof bundle>>;
  let database: TestDatabase;
  const instances: Instance[] = [];
  const children: Child[] = [];
  const executed: string[] = [];

  beforeAll(async () => {
    release = previousRelease();
    program = await bundle('test/upgrade/previous.ts');
  });
  afterAll(() => {
    program?.remove();
    release?.remove();
  });
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.kill()));
    await Promise.all(instances.splice(0).map(({ app }) => app.close()));
    await database.dispose();
    executed.length = 0;
  });

  async function previous(): Promise<Child> {
    const child = Child.start(program.file, [release.main, database.url!]);
    children.push(child);
    child.process.on(
      'message',
      (said: { executed?: string }) => said.executed && executed.push(said.executed),
    );
    await child.message((said: { ready?: true }) => said.ready === true);
    return child;
  }

  async function triggerBy(child: Child, trigger: string, runIds: readonly string[]): Promise<void> {
    const triggered = child.message((said: { triggered?: number }) => said.triggered === runIds.length);
    child.process.send({ trigger, runIds });
    await triggered;
  }

  async function present(more: Partial<BootOptions> = {}): Promise<Instance> {
    const providers: Type<any>[] = workloadOf(library, 'present', (step) => executed.push(step));
    const instance = await boot(database, {
      worker: { heartbeat: '200ms', leaseTimeout: '4s', pollInterval: '100ms' },
      providers,
      ...more,
    });
    instances.push(instance);
    return instance;
  }

  const waiting = ({ app }: Instance, runIds: readonly string[]): Promise<void> => {
    const client = app.get(WorkflowClient);
    return until(
      async () => {
        const waits = await Promise.all(
          runIds.map(async (runId) =>
            (await client.journal(runId)).some(({ kind, state: at }) => kind === 'wait' && at === 'pending'),
          ),
        );
        return waits.every(Boolean);
      },
      'all runs wait',
      60_000,
    );
  };

  const go = async ({ app }: Instance, runIds: readonly string[]): Promise<void> => {
    const client = app.get(WorkflowClient);
    for (const runId of runIds) await client.notify(`go ${runId}`, {});
  };

  const results = async ({ app }: Instance, runIds: readonly string[]): Promise<string[][]> =>
    Promise.all(
      runIds.map(
        (runId) => app.get(WorkflowClient).run('any', runId).result({ timeout: '80s' }) as Promise<string[]>,
      ),
    );

  it('works on the same runs side by side with it, each step once', async () => {
    database = await createPostgres();
    const now = await present();
    const before = await previous();
    const [theirs, ours] = [names('p', 30), names('n', 30)];
    await triggerBy(before, 'trip', theirs);
    await now.get(WorkflowClient).triggerMany(
      'trip',
      ours.map((runId) => ({ payload: {}, runId })),
    );
    const all = [...theirs, ...ours];
    await waiting(now, all);
    await go(now, all);
    const done = await results(now, all);
    expect(new Set(done.flat())).toEqual(new Set(['previous', 'present']));
    expect(done.every((steps) => steps.length === 5)).toBe(true);
    expect(executed.filter((one, i) => executed.indexOf(one) !== i)).toEqual([]);
    const workers = await now.rows<{ serves: string[] | null }>('select serves from workflow_worker');
    expect(workers.map(({ serves }) => serves?.toSorted() ?? null)).toContainEqual(null);
    expect(workers.map(({ serves }) => serves?.toSorted() ?? null)).toContainEqual([
      'marked',
      'packing',
      'trip',
      'versioned@1',
    ]);
    expect(await now.rows('select from workflow_task')).toEqual([]);
  }, 180_000);

  it.each([
    { by: 'the same version', providers: undefined, queue: 'versioned@1', release: 'present' },
    { by: 'the version that takes it over', providers: [Next], queue: 'versioned@2', release: 'next' },
  ])(
    'leaves runs with a version in the queue of their name; $by finds them there',
    async (to) => {
      database = await createPostgres();
      const before = await previous();
      const runIds = names('v', 10);
      await triggerBy(before, 'versioned', runIds);
      const now = await present(to.providers && { providers: to.providers });
      await waiting(now, runIds);
      const queues = async (): Promise<string[]> =>
        (await now.rows<{ workflow: string }>('select distinct workflow from workflow_task')).map(
          ({ workflow }) => workflow,
        );
      // it says of no queue that it does not serve it
      const takeovers = now.get(Takeovers);
      expect(await takeovers.look()).toBe(0);
      expect((await now.get(WorkflowClient).list({ stuck: true })).runs).toEqual([]);
      expect(await queues()).toEqual(['versioned']);

      await before.kill();
      await until(
        async () => (await now.rows('select from workflow_worker where serves is null')).length === 0,
        'the dead process is swept',
        30_000,
      );
      await takeovers.look();
      expect(await queues()).toEqual([to.queue]);
      await go(now, runIds);
      expect(await results(now, runIds)).toEqual(runIds.map(() => ['previous', to.release]));
    },
    180_000,
  );

  it('goes on, after a deploy was taken back, with runs that the newer code has marked', async () => {
    database = await createPostgres();
    const newer = await present();
    const runIds = names('m', 10);
    await newer.get(WorkflowClient).triggerMany(
      'marked',
      runIds.map((runId) => ({ payload: {}, runId })),
    );
    await waiting(newer, runIds);
    const marks = await newer.rows("select from workflow_step where kind = 'patch'");
    expect(marks).toHaveLength(10);
    instances.length = 0;
    await newer.app.close();

    await previous();
    const client = await present({ worker: false });
    await go(client, runIds);
    expect(await results(client, runIds)).toEqual(runIds.map(() => ['present', 'previous']));
    // what the other process says may come after what the database says
    await expect.poll(() => new Set(executed).size).toBe(20);
  }, 180_000);

  it('goes on while the newer one makes its tables, which that refuses to do without', async () => {
    database = await createEmptyPostgres();
    const before = await previous();
    const runIds = names('t', 20);
    await triggerBy(before, 'trip', runIds);
    const refused = await database.open({ migrate: false }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(WorkflowError);
    expect((refused as WorkflowError).code).toBe('WF_MIGRATIONS_PENDING');

    const now = await present();
    await waiting(now, runIds);
    await go(now, runIds);
    expect((await results(now, runIds)).every((steps) => steps.length === 5)).toBe(true);
    expect(new Set(executed).size).toBe(executed.length);
  }, 180_000);
});
