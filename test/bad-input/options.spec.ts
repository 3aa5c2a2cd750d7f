import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { WorkflowModule, WorkflowScheduler, type WorkflowModuleOptions } from 'nestjs-workflow';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { recordingLogger } from '../support/silent-logger.js';
import { Echo, startApp, type TestApp } from '../client/support.js';

const KEY = 'a-signing-key-for-tests-of-32-or-more-characters';

let db: TestDatabase;
beforeAll(async () => {
  db = await createPostgres();
});
afterAll(() => db?.dispose());
const apps: TestApp[] = [];
const servers: Server[] = [];
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** The options one by one, as a JavaScript program may give them, or an environment variable. */
const BAD: [string, object, string, string][] = [
  ['transport', { transport: 'carrier pigeon' }, 'WF_INVALID_OPTIONS', "'http' or 'in-process'"],
  ['worker.concurrency', { worker: { concurrency: 0 } }, 'WF_INVALID_OPTIONS', 'a whole number above zero'],
  [
    'worker.concurrency',
    { worker: { concurrency: '10' } },
    'WF_INVALID_OPTIONS',
    '`worker.concurrency` is "10"',
  ],
  ['worker.concurrency', { worker: { concurrency: NaN } }, 'WF_INVALID_OPTIONS', 'a whole number above zero'],
  [
    'worker.pollInterval',
    { worker: { pollInterval: 1000 } },
    'WF_INVALID_DURATION',
    '1000 is not a duration',
  ],
  ['worker.pollInterval', { worker: { pollInterval: '0s' } }, 'WF_INVALID_OPTIONS', 'at least 1ms'],
  [
    'worker.heartbeat',
    { worker: { heartbeat: 'often' } },
    'WF_INVALID_DURATION',
    '"often" is not a duration',
  ],
  ['worker.heartbeat', { worker: { heartbeat: '5s' } }, 'WF_INVALID_OPTIONS', 'at least three heartbeats'],
  [
    'worker.leaseTimeout',
    { worker: { leaseTimeout: '8s' } },
    'WF_INVALID_OPTIONS',
    '`worker.leaseTimeout` is "8s"',
  ],
  [
    'worker.maxBlocked',
    { worker: { maxBlocked: '9s' } },
    'WF_INVALID_OPTIONS',
    '`worker.maxBlocked` is "9s"; it must be at least the lease timeout',
  ],
  [
    'worker.maxBlocked',
    { worker: { maxBlocked: true as never } },
    'WF_INVALID_DURATION',
    'true is not a duration',
  ],
  [
    'worker.shutdownGrace',
    { worker: { shutdownGrace: '-1s' } },
    'WF_INVALID_DURATION',
    '"-1s" is not a duration',
  ],
  [
    'http.calls',
    { http: { calls: 'none' } },
    'WF_INVALID_OPTIONS',
    '`http.calls` is "none"; it must be an object',
  ],
  [
    'http.calls.deny',
    { http: { calls: { deny: ['10.0.0.0/33'] } } },
    'WF_INVALID_OPTIONS',
    '"10.0.0.0/33", which is not a CIDR',
  ],
  [
    'http.calls.allow',
    { http: { calls: { allow: 'localhost' } } },
    'WF_INVALID_OPTIONS',
    'not a list of texts',
  ],
  ['http.calls.timeout', { http: { calls: { timeout: '13h' } } }, 'WF_INVALID_OPTIONS', 'at most 12h'],
  [
    'http.calls.concurrency',
    { http: { calls: { concurrency: 0 } } },
    'WF_INVALID_OPTIONS',
    'a whole number above zero',
  ],
  [
    'http.calls.maxResponseBytes',
    { http: { calls: { maxResponseBytes: -1 } } },
    'WF_INVALID_OPTIONS',
    '`http.calls.maxResponseBytes` is -1',
  ],
  ['http.stepsPerCall', { http: { stepsPerCall: 1.5 } }, 'WF_INVALID_OPTIONS', '`http.stepsPerCall` is 1.5'],
  [
    'http.url',
    { http: { url: 'app:3000', signingKey: KEY } },
    'WF_INVALID_OPTIONS',
    '`http.url` is not an http',
  ],
  [
    'http.url',
    { http: { url: '/workflow', signingKey: KEY } },
    'WF_INVALID_OPTIONS',
    '`http.url` is not an http',
  ],
  [
    'http.publicUrl',
    { http: { publicUrl: 'ftp://x', signingKey: KEY } },
    'WF_INVALID_OPTIONS',
    '`http.publicUrl` is not an http',
  ],
  [
    'http.signingKey',
    { http: { signingKey: 'short' } },
    'WF_INVALID_OPTIONS',
    'has 5 characters; at least 32 are needed',
  ],
  [
    'http.nextSigningKey',
    { http: { nextSigningKey: KEY } },
    'WF_INVALID_OPTIONS',
    '`http.signingKey` is not',
  ],
  [
    'a signing key',
    { http: { url: 'https://app.example' } },
    'WF_SIGNING_KEY_MISSING',
    'Set `http.signingKey` (at least 32',
  ],
  [
    'a signing key',
    { http: { publicUrl: 'https://app.example' } },
    'WF_SIGNING_KEY_MISSING',
    'no key to sign them with',
  ],
  [
    'maxPayloadBytes',
    { maxPayloadBytes: -1 },
    'WF_INVALID_OPTIONS',
    '`maxPayloadBytes` is -1; it must be a whole number',
  ],
  ['maxSteps', { maxSteps: 0 }, 'WF_INVALID_OPTIONS', '`maxSteps` is 0'],
  ['steps.retries', { steps: { retries: -1 } }, 'WF_INVALID_OPTIONS', '`retries`'],
  [
    'steps.backoff',
    { steps: { backoff: { initial: '1' } } },
    'WF_INVALID_OPTIONS',
    '`backoff.initial` is "1"',
  ],
  [
    'steps.retryDelay',
    { steps: { retryDelay: '10 sec' as '10s' } },
    'WF_INVALID_OPTIONS',
    '`retryDelay` is "10 sec", which is neither a duration nor an expression',
  ],
  ['steps.timeout', { steps: { timeout: 'never' } }, 'WF_INVALID_DURATION', '"never" is not a duration'],
  ['schema', { schema: 'a b' }, 'WF_INVALID_OPTIONS', '`schema` "a b" is not a plain schema name'],
  ['database', { database: {} }, 'WF_INVALID_OPTIONS', '`database` names no database'],
  ['database', { database: 'postgres://x' }, 'WF_INVALID_OPTIONS', '`database`'],
  ['database.url', { database: { url: 'mysql://x/y' } }, 'WF_', '`database'],
  [
    'database.embedded',
    { database: { embedded: '' } },
    'WF_INVALID_OPTIONS',
    "a folder or 'memory' in `embedded`",
  ],
  [
    'database.dataSource',
    { database: { dataSource: 'nobody' } },
    'WF_INVALID_OPTIONS',
    'no TypeORM DataSource named "nobody"',
  ],
];

describe('an application with an option that cannot be right does not start', () => {
  const optionsOf = (bad: object): WorkflowModuleOptions => ({ database: db.options, ...bad });
  const refused = (code: string, said: string) => ({
    code: expect.stringContaining(code) as string,
    message: expect.stringContaining(said) as string,
  });

  it.each(BAD)('forRoot: %s %j', async (_field, bad, code, said) => {
    const starting = startApp(db, { module: WorkflowModule.forRoot(optionsOf(bad)), providers: [Echo] });
    await expect(starting).rejects.toMatchObject(refused(code, said));
  });

  it.each(BAD.filter(([field]) => field !== 'database.dataSource'))(
    'forRootAsync: %s %j',
    async (_field, bad, code, said) => {
      const module = WorkflowModule.forRootAsync({ useFactory: async () => optionsOf(bad) });
      await expect(startApp(db, { module, providers: [Echo] })).rejects.toMatchObject(refused(code, said));
    },
  );

  it('a named DataSource out of a factory is refused: the name must be known before', async () => {
    const module = WorkflowModule.forRootAsync({
      useFactory: () => ({ database: { dataSource: 'orders' } }),
    });
    await expect(startApp(db, { module, providers: [Echo] })).rejects.toMatchObject({
      code: 'WF_INVALID_OPTIONS',
      message: expect.stringContaining(
        '`database.dataSource` "orders" comes out of a factory; give `dataSource: \'orders\'` beside it.',
      ),
    });
  });

  it('a named DataSource beside the factory that nobody provides is named', async () => {
    const module = WorkflowModule.forRootAsync({ dataSource: 'orders', useFactory: () => ({}) });
    await expect(startApp(db, { module, providers: [Echo] })).rejects.toMatchObject({
      code: 'WF_INVALID_OPTIONS',
      message: expect.stringContaining('There is no TypeORM DataSource named "orders" in this application.'),
    });
  });

  it('no message shows a key', async () => {
    const module = WorkflowModule.forRoot(optionsOf({ http: { signingKey: 'my secret' } }));
    await expect(startApp(db, { module, providers: [Echo] })).rejects.toThrow(/^(?!.*my secret)/s);
  });
});

describe('a configured url that does not reach the application', () => {
  /** Somebody else, who listens there. */
  async function stranger(status: number, body: string): Promise<string> {
    const server = createServer((_request, response) => response.writeHead(status).end(body));
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  }

  it.each([
    ['a stranger', () => stranger(404, '<html>Not here</html>'), /404.*Not here/s],
    ['a stranger who is pleased with everything', () => stranger(200, '{"ok":true}'), /200.*ok/s],
    ['nobody', async () => 'http://127.0.0.1:1', /ECONNREFUSED/],
  ])('but %s claims nothing, and says what came back', async (_who, at, said) => {
    const url = await at();
    const logger = recordingLogger();
    const test = await startApp(db, {
      listen: true,
      logger,
      providers: [Echo],
      workflow: { http: { url, signingKey: KEY } },
    });
    apps.push(test);
    await vi.waitFor(() => expect(logger.lines.join('\n')).toContain('Nothing is claimed'), {
      timeout: 10_000,
    });
    const line = logger.lines.find((one) => one.includes('Nothing is claimed'))!;
    expect(line).toMatch(/^error: /);
    expect(line).toMatch(said);
    expect(line).toContain(`${url}/workflow/deliver`);
    expect(line).toContain(
      'Correct `http.url` so that it reaches this application, or leave it out. [WF_CALLBACK_UNREACHABLE]',
    );
    // what is triggered meanwhile is safe, and waits
    const run = await test.client.trigger(Echo, 1);
    expect(test.app.get(WorkflowScheduler).running).toBe(false);
    expect((await run.get()).status).toBe('pending');
  });

  it('but an endpoint with another key claims nothing', async () => {
    const other = await startApp(db, {
      listen: true,
      providers: [Echo],
      workflow: { worker: false, http: { signingKey: KEY } },
    });
    apps.push(other);
    const logger = recordingLogger();
    const test = await startApp(db, {
      listen: true,
      logger,
      providers: [Echo],
      workflow: { http: { url: await other.app.getUrl(), signingKey: KEY.toUpperCase() } },
    });
    apps.push(test);
    await vi.waitFor(() => expect(logger.lines.join('\n')).toMatch(/Nothing is claimed: .*401/), {
      timeout: 10_000,
    });
    expect(test.app.get(WorkflowScheduler).running).toBe(false);
  });
});

it('an application context says where its options are wrong, too', async () => {
  @Module({ imports: [WorkflowModule.forRoot({ database: db.options, maxSteps: -5 })], providers: [Echo] })
  class App {
    readonly name = 'app';
  }
  await expect(
    NestFactory.createApplicationContext(App, { logger: false, abortOnError: false }),
  ).rejects.toMatchObject({ code: 'WF_INVALID_OPTIONS' });
});
