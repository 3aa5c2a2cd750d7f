import { Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WorkflowClient, WorkflowModule } from 'nestjs-workflow';
import { WorkflowTestingModule } from 'nestjs-workflow/testing';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { silentLogger } from '../support/silent-logger.js';
import {
  ADAPTER_NAMES,
  closing,
  completes,
  completesOverHttp,
  Hosted,
  listening,
  problems,
  Shop,
} from './support.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await createPostgres();
});
afterAll(() => db?.dispose());

const make = (imports: DynamicModule['imports']): DynamicModule => {
  @Module({})
  class App {
    readonly name = 'app';
  }
  return { module: App, imports, providers: [Hosted, Shop] };
};
const worker = { shutdownGrace: '200ms' } as const;

describe.each(ADAPTER_NAMES)('two applications of one process, on %s', (adapter) => {
  it('do not meet in two schemas of one database', async () => {
    const [one, two] = await Promise.all([
      listening(adapter, { database: db.options, schema: `${adapter}_one` }),
      listening(adapter, { database: db.options, schema: `${adapter}_two`, path: 'wf' }),
    ]);
    await Promise.all([completes(one, 'the same id'), completes(two, 'the same id')]);
    expect([one, two].map(({ scheduler }) => scheduler.transport)).toEqual(['http', 'http']);
    expect(new Set(one.callbacks)).toEqual(new Set(['/workflow/deliver']));
    expect(new Set(two.callbacks)).toEqual(new Set(['/wf/deliver']));
    await two.client.trigger(Hosted, 'only here', { runId: 'only here' });
    await expect(one.client.get('only here')).rejects.toMatchObject({ code: 'WF_RUN_NOT_FOUND' });
    // @nestjs/typeorm 12 keeps the names of DataSources per process, and warns of the second one; nothing comes of it
    for (const { lines } of [one, two])
      for (const line of problems(lines))
        expect(line).toMatch(/data source with the nestjs-workflow name is already/);
  });

  it('share the work in one schema, each with a key of its own for its own calls', async () => {
    const shared = { database: db.options, schema: `${adapter}_shared` };
    const [one, two] = await Promise.all([listening(adapter, shared), listening(adapter, shared)]);
    const ids = Array.from({ length: 20 }, (_, i) => `run ${i}`);
    const runs = ids.map((id) =>
      one.client.trigger(Hosted, id, { runId: id }).then((run) => run.result({ timeout: '30s' })),
    );
    expect(await Promise.all(runs)).toHaveLength(20);
    const executed = [...one.shop.executed, ...two.shop.executed];
    expect(executed.toSorted()).toEqual(
      ids.flatMap((id) => [1, 2, 3, 4].map((n) => `${id} ${n}`)).toSorted(),
    );
  });
});

describe('two modules of one application', () => {
  const boot = (imports: DynamicModule['imports']): Promise<unknown> =>
    NestFactory.createApplicationContext(make(imports), { logger: silentLogger, abortOnError: false });
  const first = (): DynamicModule => WorkflowModule.forRoot({ database: db.options, worker });

  it.each<[string, () => DynamicModule]>([
    ['forRoot', first],
    [
      'forRoot with a path and a schema of its own',
      () => WorkflowModule.forRoot({ database: db.options, worker, path: 'two', schema: 'two' }),
    ],
    [
      'forRootAsync',
      () => WorkflowModule.forRootAsync({ useFactory: () => ({ database: db.options, worker }) }),
    ],
    ['WorkflowTestingModule.forRoot', () => WorkflowTestingModule.forRoot({ transport: 'in-process' })],
  ])('are refused, the second by %s', async (_how, second) => {
    const error: unknown = await boot([first(), make([second()])]).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'WF_DUPLICATE_MODULE' });
    expect((error as Error).message).toContain('2 calls of `forRoot()` or `forRootAsync()`');
  });

  it('may import the same one, and have the same client', async () => {
    const shared = WorkflowModule.forRoot({ database: db.options, worker, transport: 'in-process' });
    @Module({ imports: [shared] })
    class Orders {
      constructor(readonly client: WorkflowClient) {}
    }
    const context = closing(
      await NestFactory.createApplicationContext(make([shared, Orders]), { logger: silentLogger }),
    );
    expect(context.get(Orders).client).toBe(context.get(WorkflowClient));
    const run = await context.get(WorkflowClient).trigger(Hosted, 'shared');
    expect(await run.result({ timeout: '30s' })).toHaveLength(4);
  });
});

it('the helper of these tests sees a fallback', async () => {
  const hosted = await listening('express', { database: db.options, transport: 'in-process' });
  await expect(completesOverHttp(hosted, 'in-process')).rejects.toThrow(/http/);
});
