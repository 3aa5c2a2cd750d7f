import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterEach, expect, it } from 'vitest';
import {
  CallError,
  CallPerformer,
  Workflow,
  WorkflowContext,
  WorkflowModule,
  type CallRequest,
} from 'nestjs-workflow';
import { WorkflowTestingModule } from 'nestjs-workflow/testing';
import { Gate, started } from './support.js';

@Workflow({ name: 'asks' })
class Asks {
  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    const { status, body } = await ctx.call('ask', { url: ctx.payload, retryDelay: '1h' });
    return { status, body };
  }
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(answer: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(answer as never).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

it('a double makes the calls; a retry waits for the time of the bench', async () => {
  const asked: CallRequest[] = [];
  const performer: CallPerformer = {
    async perform(request) {
      asked.push(request);
      if (asked.length < 3) return { ok: false, error: new CallError('WF_CALL_FAILED', 'no route') };
      return { ok: true, value: { status: 200, headers: {}, body: 'there' } };
    },
    async close() {},
  };
  const builder = Test.createTestingModule({ imports: [WorkflowTestingModule.forRoot()], providers: [Asks] });
  const { bench, client } = await started(
    await builder.overrideProvider(CallPerformer).useValue(performer).compile(),
  );
  const run = await client.trigger(Asks, 'https://api.example/');
  await bench.untilIdle();
  expect(asked).toMatchObject([{ url: 'https://api.example/', method: 'GET' }]);
  expect((await run.get()).status).toBe('waiting');
  await bench.advance('59m');
  expect(asked.length).toBe(1);
  await bench.advance('1m');
  expect(asked.length).toBe(2);
  await bench.advance('1h');
  expect(await run.result()).toEqual({ status: 200, body: 'there' });
});

it('what the application allows holds in its tests', async () => {
  const url = await serve((_request, response) => response.end());
  @Module({
    imports: [WorkflowModule.forRoot({ http: { calls: { allow: ['127.0.0.1'] } } })],
    providers: [Asks],
  })
  class AppModule {}
  const builder = Test.createTestingModule({ imports: [AppModule, WorkflowTestingModule.forApp()] });
  const { bench, client } = await started(await builder.compile());
  const run = await client.trigger(Asks, url);
  await bench.untilIdle();
  expect(await run.result()).toEqual({ status: 200, body: undefined });
});

it('a crash in the middle of a call makes it again', async () => {
  const reached = new Gate();
  let calls = 0;
  const url = await serve((_request, response) => {
    if (++calls === 1) reached.open();
    else response.end();
  });
  const module = Test.createTestingModule({
    imports: [WorkflowTestingModule.forRoot({ http: { calls: { allow: ['127.0.0.1'] } } })],
    providers: [Asks],
  });
  const { bench, client } = await started(await module.compile());
  const run = await client.trigger(Asks, url);
  const idle = bench.untilIdle();
  await reached.opened;
  await bench.crashAndRestart();
  await idle;
  expect(await run.result()).toMatchObject({ status: 200 });
  expect(calls).toBe(2);
});
