/** An application by https whose `http.url` is its own name: tells how a run went, or why nothing is claimed. */
import 'reflect-metadata';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Step, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../lib/index.js';

const [adapter, database, key, cert] = process.argv.slice(2) as [string, string, string, string];

@Injectable()
class Shop {
  @Step() async sell(what: string): Promise<string> {
    return `sold ${what}`;
  }
}

@Workflow({ name: 'by-https' })
class ByHttps {
  constructor(readonly shop: Shop) {}
  async run(ctx: WorkflowContext<string>): Promise<string> {
    return this.shop.sell(ctx.payload);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function main(): Promise<void> {
  const port = await freePort();
  const http = {
    url: `https://localhost:${port}`,
    signingKey: 'a-signing-key-for-tests-of-32-or-more-characters',
  };
  const logger = {
    log: () => {},
    warn: (message: unknown) => process.send!({ warning: String(message) }),
    error: (message: unknown) => process.send!({ error: String(message) }),
  };
  @Module({
    imports: [WorkflowModule.forRoot({ database: { url: database }, http })],
    providers: [ByHttps, Shop],
  })
  class App {}
  const httpsOptions = { key: readFileSync(key), cert: readFileSync(cert) };
  const options = { logger, abortOnError: false };
  const app =
    adapter === 'fastify'
      ? await NestFactory.create(App, new FastifyAdapter({ https: httpsOptions }), options)
      : await NestFactory.create(App, { ...options, httpsOptions });
  await app.listen(port, '127.0.0.1');
  const run = await app.get(WorkflowClient).trigger(ByHttps, adapter, { runId: `${adapter} ${port}` });
  process.send!({ result: await run.result({ timeout: '1m' }) });
  await app.close();
  process.disconnect();
}

await main();
