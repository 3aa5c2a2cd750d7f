import 'reflect-metadata';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { Step, Workflow, WorkflowContext, WorkflowScheduler, type WorkflowHandler } from 'nestjs-workflow';
import { WorkflowBench, WorkflowTestingModule } from 'nestjs-workflow/testing';
import { createEmptyPostgres } from '../support/databases.js';
import { boot, started } from './support.js';

const ANSWER_AFTER_MS = 300;

let server: Server | undefined;
afterEach(() => server?.close());

@Injectable()
class Slow {
  url = '';

  @Step()
  async fetch(path: string): Promise<string> {
    return (await fetch(`${this.url}${path}`)).text();
  }
}

@Workflow({ name: 'fetching' })
class Fetching implements WorkflowHandler<number, string[]> {
  constructor(private readonly slow: Slow) {}

  async run(ctx: WorkflowContext<number>): Promise<string[]> {
    const one = await this.slow.fetch('/one');
    await ctx.sleep('a while', '1h');
    return [one, ...(await Promise.all([this.slow.fetch('/two'), this.slow.fetch('/three')]))];
  }
}

@Workflow({ name: 'counting' })
class Counting implements WorkflowHandler<string, string> {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    await ctx.sleep('a day', '1d');
    return ctx.payload;
  }
}

async function slowServer(): Promise<string> {
  server = createServer((request, response) => {
    setTimeout(() => response.end(`answer to ${request.url}`), ANSWER_AFTER_MS);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('untilIdle', () => {
  it.each(['in-process', 'http'] as const)('waits for real I/O inside steps, %s', async (transport) => {
    const testing = WorkflowTestingModule.forRoot({ transport });
    const module = await Test.createTestingModule({
      imports: [testing],
      providers: [Fetching, Slow],
    }).compile();
    const app = module.createNestApplication();
    if (transport === 'http') await app.listen(0, '127.0.0.1');
    const { bench, client } = await started(app);
    app.get(Slow).url = await slowServer();
    const run = await client.trigger(Fetching, 1);
    await bench.untilIdle();
    expect((await client.journal(run.runId)).map(({ key }) => key)).toEqual(['Slow.fetch', 'a while']);
    await bench.advance('1h');
    expect((await run.get()).status).toBe('completed');
    expect(await run.result()).toEqual(['answer to /one', 'answer to /two', 'answer to /three']);
    expect(app.get(WorkflowScheduler).transport).toBe(transport);
  });

  it('waits for a trigger that nobody awaits', async () => {
    const { bench, client } = await boot([Counting]);
    void client.trigger(Counting, 'x', { runId: 'unawaited' });
    await bench.untilIdle();
    expect((await client.get('unawaited')).status).toBe('waiting');
  });

  it('a hundred runs, and many more than one process takes at a time', async () => {
    const { bench, client } = await boot([Counting], { worker: { concurrency: 7 } });
    const items = Array.from({ length: 100 }, (_, i) => ({ payload: `run ${i}` }));
    const runs = await client.triggerMany(Counting, items);
    await bench.advance('1d');
    expect(await Promise.all(runs.map(async (run) => (await run.get()).status))).toEqual(
      items.map(() => 'completed'),
    );
  });

  it('inside a step it is refused: it would wait for itself', async () => {
    let refused: unknown;
    @Workflow({ name: 'circular' })
    class Circular {
      async run(ctx: WorkflowContext): Promise<void> {
        await ctx.run('ask', async () => {
          refused = await WorkflowBench.of(app.module)
            .untilIdle()
            .catch((error: unknown) => error);
        });
      }
    }
    const app = await boot([Circular]);
    await app.client.trigger(Circular, undefined);
    await app.bench.untilIdle();
    expect(String(refused)).toMatch(/would wait for itself.*WF_INVALID_ARGUMENT/);
  });
});

describe('two applications at once', () => {
  it('do not meet, in memory', async () => {
    const [one, two] = [await boot([Counting]), await boot([Counting])];
    await one.client.trigger(Counting, 'one', { runId: 'same' });
    await two.client.trigger(Counting, 'two', { runId: 'same' });
    await one.bench.advance('1d');
    expect((await one.client.get('same')).status).toBe('completed');
    expect((await two.client.get('same')).payload).toBe('two');
    await two.bench.untilIdle();
    expect((await two.client.get('same')).status).toBe('waiting');
    expect(two.bench.now().getTime()).toBeLessThan(one.bench.now().getTime());
  });

  it('do not meet on one PostgreSQL, and leave nothing behind', async () => {
    const database = await createEmptyPostgres();
    const { url } = database as { url: string };
    const [one, two] = [await boot([Counting], { url }), await boot([Counting], { url })];
    const run = await one.client.trigger(Counting, 'one', { runId: 'same' });
    await two.client.trigger(Counting, 'two', { runId: 'same' });
    await one.bench.advance('1d');
    expect(await run.result()).toBe('one');
    expect((await two.client.get('same')).status).toBe('waiting');
    await one.bench.crashAndRestart();
    await two.bench.advance('1d');
    expect((await two.client.get('same')).status).toBe('completed');
    await one.module.close();
    await two.module.close();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const left = await client.query(`select nspname from pg_namespace where nspname like 'workflow%'`);
    await client.end();
    expect(left.rows).toEqual([]);
    await database.dispose();
  });
});
