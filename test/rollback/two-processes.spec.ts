import { currentStep, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { afterEach, expect, it } from 'vitest';
import { boot, Executions, until, type Instance } from '../races/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';

const executions = new Executions();
let finishSlow!: () => void;
const slow = new Promise<void>((resolve) => (finishSlow = resolve));

@Workflow({ name: 'slow', retries: 0, timeout: '500ms' })
class Slow {
  async run(ctx: WorkflowContext): Promise<string> {
    ctx.onRollback(
      'undo',
      () => {
        executions.add();
        if (currentStep().attempt === 1) throw new Error('not yet');
      },
      { backoff: { initial: '4s', jitter: false } },
    );
    await Promise.all([ctx.run('slow', () => slow), ctx.sleep('beside', '10ms')]);
    return 'all is well';
  }
}

let database: TestDatabase;
const instances: Instance[] = [];
afterEach(async () => {
  for (const { app } of instances.splice(0)) await app.close();
  await database.dispose();
});

it('a process that has kept the code of a run does not go on with it when another one has begun to undo it', async () => {
  database = await createPostgres();
  const start = async (concurrency: number): Promise<Instance> => {
    const worker = { heartbeat: '100ms', leaseTimeout: '2s', pollInterval: '50ms', concurrency } as const;
    const instance = await boot(database, { providers: [Slow], transport: 'in-process', worker });
    instances.push(instance);
    return instance;
  };
  // it keeps the code, and its only place is taken by the step
  const first = await start(1);
  const run = await first.get(WorkflowClient).trigger(Slow, undefined, { runId: 'r' });
  await until(async () => (await run.get()).status === 'running');
  const second = await start(10);
  await until(() => executions.all.length === 1, 'the first attempt of the compensation');
  await until(
    async () =>
      (await first.rows(`select 1 from workflow_step where key = 'rollback/undo' and attempts = 1`))
        .length === 1,
  );
  await second.app.close();
  instances.pop();
  finishSlow();
  await expect(run.result({ timeout: '10s' })).rejects.toMatchObject({ failure: { code: 'WF_RUN_TIMEOUT' } });
  expect(executions.all).toEqual(['r/rollback/undo', 'r/rollback/undo']);
});
