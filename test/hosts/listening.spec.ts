import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WorkflowClient, WorkflowModule, WorkflowScheduler } from 'nestjs-workflow';
import { selfSigned } from '../support/certificate.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { recordingLogger } from '../support/silent-logger.js';
import {
  ADAPTER_NAMES,
  closing,
  completes,
  completesOverHttp,
  create,
  Hosted,
  KEY,
  listening,
  problems,
  Shop,
  type HostedApp,
} from './support.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await createPostgres();
});
afterAll(() => db?.dispose());

const NOBODY_LISTENS =
  "warn: No HTTP server is listening: steps run in-process. Say `transport: 'in-process'` if that is meant.";
const NO_LONGER = 'warn: The HTTP server of the application has closed: steps run in-process from now on.';

/** Passes what comes below /edge/shop on to the application, without that part of the path. */
async function rewritingProxy(to: () => number): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = [];
  const proxy = createServer((request, response) => {
    const { url = '', method, headers } = request;
    seen.push(url);
    if (!url.startsWith('/edge/shop/')) return void response.writeHead(404).end('not here');
    const options = { port: to(), host: '127.0.0.1', method, path: url.slice('/edge/shop'.length) };
    const onward = httpRequest({ ...options, headers: { ...headers, host: 'inside.test' } }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.writeHead(502).end());
    request.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  closing({
    close: async () => {
      proxy.close();
      proxy.closeAllConnections();
    },
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/edge/shop`, seen };
}

/**
 * What supertest does to a server that does not listen: it listens for this one request, and the test goes on when the server has
 * closed again.
 */
async function likeSupertest(server: Server, path: string): Promise<number> {
  const listens = server.address() !== null;
  if (!listens) server.listen(0);
  const { port } = server.address() as AddressInfo;
  const status = await new Promise<number>((resolve, reject) => {
    const request = httpRequest({ port, path, host: '127.0.0.1', agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode!));
    });
    request.on('error', reject).end();
  });
  if (!listens) await new Promise((resolve) => server.close(resolve));
  return status;
}

const ready = async ({ app }: HostedApp): Promise<void> => {
  await app.init();
  await (app.getHttpAdapter().getInstance() as { ready?(): Promise<void> }).ready?.();
};
const starts = ({ scheduler }: HostedApp): Promise<void> =>
  vi.waitFor(() => expect(scheduler.running).toBe(true), { timeout: 10_000, interval: 5 });

describe.each(ADAPTER_NAMES)('%s', (adapter) => {
  it.each(['0.0.0.0', '127.0.0.1', '::', 'localhost'])('listens at %s', async (host) => {
    const hosted = await create(adapter, { database: db.options });
    await hosted.app.listen(0, host);
    await completesOverHttp(hosted, `${adapter} at ${host}`);
  });

  it('listens at a unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wf-host-'));
    closing({ close: async () => rmSync(folder, { recursive: true }) });
    const hosted = await create(adapter, { database: db.options });
    const socket = join(folder, 'app.sock');
    // that of Fastify takes the path as an option, in the place of the port
    await hosted.app.listen((adapter === 'fastify' ? { path: socket } : socket) as string);
    expect(hosted.server.address()).toBe(socket);
    await completesOverHttp(hosted, `${adapter} at a unix socket`);
  });

  it('listens by https, with a certificate that nobody else knows', async () => {
    const hosted = await listening(adapter, { database: db.options }, { https: selfSigned() });
    expect(await hosted.app.getUrl()).toMatch(/^https:/);
    await completesOverHttp(hosted, `${adapter} by https`);
  });

  it('is only initialized, and its server listens by itself', async () => {
    const hosted = await create(adapter, { database: db.options });
    await ready(hosted);
    hosted.server.listen(0);
    await completesOverHttp(hosted, `${adapter} listens by itself`);
  });

  it('is only initialized: in-process, until it listens', async () => {
    const hosted = await create(adapter, { database: db.options });
    await ready(hosted);
    await completes(hosted, `${adapter} does not listen yet`);
    expect(hosted.scheduler.transport).toBe('in-process');
    expect(hosted.callbacks).toEqual([]);
    expect(problems(hosted.lines)).toEqual([NOBODY_LISTENS]);
    hosted.server.listen(0);
    await vi.waitFor(() => expect(hosted.scheduler.transport).toBe('http'), { timeout: 10_000 });
    await completes(hosted, `${adapter} listens now`);
    expect(hosted.callbacks.length).toBeGreaterThanOrEqual(5);
  });

  it('is only initialized, and its server listens for each request, as supertest lets it', async () => {
    const hosted = await create(adapter, { database: db.options });
    await ready(hosted);
    const requests = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) {
        const started = performance.now();
        expect(await likeSupertest(hosted.server, '/nowhere')).toBe(404);
        // a connection of ours that is kept would hold the server, and with it the test, for some seconds
        expect(performance.now() - started).toBeLessThan(2500);
      }
    };
    await requests();
    await completes(hosted, `${adapter}, supertest at once`);
    await requests();
    await completes(hosted, `${adapter}, supertest later`);
    expect(problems(hosted.lines)).toEqual([NO_LONGER]);
    expect(hosted.scheduler.transport).toBe('in-process');
  });

  it('closes its server while it lives on: in-process from then on', async () => {
    const hosted = await listening(adapter, { database: db.options });
    await completesOverHttp(hosted, `${adapter}, before the server closes`);
    const closed = once(hosted.server, 'close');
    hosted.server.close();
    await closed;
    await completes(hosted, `${adapter}, after the server has closed`);
    expect(hosted.scheduler.transport).toBe('in-process');
    expect(problems(hosted.lines)).toEqual([NO_LONGER]);
  });

  it('stands behind a proxy that takes a part of the path away', async () => {
    let port = 0;
    const { url, seen } = await rewritingProxy(() => port);
    const http = { url, signingKey: KEY };
    const setup = (app: HostedApp['app']): unknown => app.setGlobalPrefix('api');
    const hosted = await create(adapter, { database: db.options, http }, { setup });
    // it knows the port before the first ping goes out, which is when the application listens
    hosted.server.prependListener('listening', () => (port = (hosted.server.address() as AddressInfo).port));
    await hosted.app.listen(0, '127.0.0.1');
    await starts(hosted);
    await completesOverHttp(hosted, `${adapter} behind a proxy`, '/api/workflow/deliver');
    expect(new Set(seen)).toEqual(new Set(['/edge/shop/api/workflow/deliver']));
  });

  it('stands behind a proxy whose path is not that of `http.url`: nothing is claimed', async () => {
    let port = 0;
    const { url } = await rewritingProxy(() => port);
    const http = { url: url.replace('/edge/shop', '/elsewhere'), signingKey: KEY };
    const hosted = await create(adapter, { database: db.options, http });
    hosted.server.prependListener('listening', () => (port = (hosted.server.address() as AddressInfo).port));
    await hosted.app.listen(0, '127.0.0.1');
    await vi.waitFor(() => expect(problems(hosted.lines)).toHaveLength(1), { timeout: 10_000 });
    expect(problems(hosted.lines)[0]).toMatch(
      /Nothing is claimed: A ping to http:.*\/elsewhere\/workflow\/deliver.*404/s,
    );
    expect(hosted.scheduler.running).toBe(false);
  });
});

it('an application context has no server: in-process, at once', async () => {
  @Module({
    imports: [WorkflowModule.forRoot({ database: db.options, worker: { shutdownGrace: '200ms' } })],
    providers: [Hosted, Shop],
  })
  class App {
    readonly name = 'app';
  }
  const logger = recordingLogger();
  const context = closing(await NestFactory.createApplicationContext(App, { logger, abortOnError: false }));
  expect(context.get(WorkflowScheduler).transport).toBe('in-process');
  const run = await context.get(WorkflowClient).trigger(Hosted, 'in a context');
  expect(await run.result({ timeout: '30s' })).toHaveLength(4);
  expect(problems(logger.lines)).toEqual([NOBODY_LISTENS]);
});
