import {
  Module,
  VersioningType,
  RequestMethod,
  type DynamicModule,
  type INestApplication,
  type MiddlewareConsumer,
  type NestModule,
} from '@nestjs/common';
import {
  APP_FILTER,
  APP_GUARD,
  APP_INTERCEPTOR,
  APP_PIPE,
  ApplicationConfig,
  NestFactory,
} from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import {
  applyCallbackMiddleware,
  callbackPrefix,
  CallbackEndpoint,
  CONTENT_TYPE,
  createCallbackController,
  HttpTransport,
  MessageSigner,
  MessageVerifier,
  OwnAddress,
  ownTarget,
  SIGNATURE_HEADER,
} from '../../lib/http/index.js';
import { ADAPTERS, DenyAll, Envelope, RefuseAll, SwallowAll, type Host } from './host-support.js';
import { delivery, FakeHandler, keys } from './support.js';

const PATH = 'workflow';

class AppModule {
  readonly name = 'app';
}

const handler = new FakeHandler();

/** What the workflow module wires. */
function callbackModule(host: Host): DynamicModule {
  @Module({})
  class CallbackModule implements NestModule {
    configure(consumer: MiddlewareConsumer): void {
      if (host.middleware !== false) applyCallbackMiddleware(consumer, PATH);
    }
  }
  const endpoint = new CallbackEndpoint(handler, new MessageVerifier(keys()), { instance: 'i1' });
  return {
    module: CallbackModule,
    controllers: [createCallbackController(PATH)],
    providers: [{ provide: CallbackEndpoint, useValue: endpoint }, OwnAddress, ...(host.providers ?? [])],
  };
}

const everything: Host = {
  name: 'everything at once',
  providers: [
    { provide: APP_GUARD, useClass: DenyAll },
    { provide: APP_PIPE, useClass: RefuseAll },
    { provide: APP_INTERCEPTOR, useClass: Envelope },
    { provide: APP_FILTER, useClass: SwallowAll },
  ],
  options: { rawBody: true },
  setup: (app) => {
    app.setGlobalPrefix('api/v2');
    app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
    app.enableShutdownHooks([]);
  },
  route: '/api/v2/workflow/deliver',
};

const HOSTS: Host[] = [
  { name: 'plain' },
  { name: 'global prefix', setup: (app) => app.setGlobalPrefix('api'), route: '/api/workflow/deliver' },
  {
    name: 'global prefix that excludes the route',
    setup: (app) => app.setGlobalPrefix('api', { exclude: ['workflow/deliver'] }),
  },
  {
    name: 'global prefix that excludes it for POST by a wildcard',
    setup: (app) =>
      app.setGlobalPrefix('/api/', { exclude: [{ path: 'workflow/*rest', method: RequestMethod.POST }] }),
  },
  {
    name: 'global prefix that excludes it for GET only',
    setup: (app) =>
      app.setGlobalPrefix('api', { exclude: [{ path: 'workflow/deliver', method: RequestMethod.GET }] }),
    route: '/api/workflow/deliver',
  },
  {
    name: 'versioning by URI',
    setup: (app) => app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' }),
  },
  {
    name: 'versioning by header',
    setup: (app) =>
      app.enableVersioning({ type: VersioningType.HEADER, header: 'x-version', defaultVersion: '1' }),
  },
  { name: 'global guard that denies', providers: [{ provide: APP_GUARD, useClass: DenyAll }] },
  { name: 'global pipe that refuses', providers: [{ provide: APP_PIPE, useClass: RefuseAll }] },
  { name: 'global interceptor that wraps', providers: [{ provide: APP_INTERCEPTOR, useClass: Envelope }] },
  { name: 'global filter that swallows', providers: [{ provide: APP_FILTER, useClass: SwallowAll }] },
  { name: 'rawBody: true', options: { rawBody: true } },
  { name: 'no body parser', options: { bodyParser: false } },
  everything,
  { name: 'controller alone', middleware: false },
  { name: 'controller alone, rawBody: true', middleware: false, options: { rawBody: true } },
  {
    name: 'controller alone, prefix, versioning, pipe, interceptor, filter',
    middleware: false,
    providers: everything.providers?.slice(1),
    setup: everything.setup,
    route: everything.route,
  },
];

let app: INestApplication | undefined;
let transport: HttpTransport | undefined;

afterEach(async () => {
  await transport?.close();
  await app?.close();
  app = transport = undefined;
  handler.calls.length = 0;
});

async function start(adapter: keyof typeof ADAPTERS, host: Host): Promise<HttpTransport> {
  const root = { module: AppModule, imports: [callbackModule(host)] };
  app = await NestFactory.create(root, ADAPTERS[adapter](), { logger: false, ...host.options });
  host.setup?.(app);
  await app.listen(0);
  return (transport = transportTo(app));
}

function transportTo(running: INestApplication): HttpTransport {
  const own = running.get(OwnAddress, { strict: false });
  const prefix = callbackPrefix(running.get(ApplicationConfig), PATH);
  return new HttpTransport({
    signer: new MessageSigner(keys()),
    target: () => (own.current ? ownTarget(own.current, prefix, PATH) : undefined),
  });
}

/** A POST as any client might send it. */
function post(
  url: string,
  type: string,
  body: string,
  signature?: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string> = { 'content-type': type };
    if (signature !== undefined) headers[SIGNATURE_HEADER] = signature;
    const request = httpRequest(
      url,
      { method: 'POST', headers, agent: false },
      (response: IncomingMessage) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    request.on('error', reject).end(body);
  });
}

for (const adapter of ['express', 'fastify'] as const) {
  describe.each(HOSTS)(`${adapter}, $name`, (host) => {
    it('answers pings and deliveries, and refuses what is not signed', async () => {
      const http = await start(adapter, host);
      await http.ping();
      await expect(http.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
      await expect(http.deliver({ ...delivery, step: 'Größe#2 ✓' })).resolves.toEqual({
        next: 'continue',
        seq: 13,
      });
      expect(handler.calls).toEqual([delivery, { ...delivery, step: 'Größe#2 ✓' }]);

      const url = `${await app!.getUrl()}${host.route ?? '/workflow/deliver'}`.replace('[::1]', 'localhost');
      const unsigned = await post(url, CONTENT_TYPE, JSON.stringify(delivery));
      expect(unsigned.status).toBe(401);
      expect(JSON.parse(unsigned.text)).toMatchObject({ code: 'WF_UNSIGNED' });
      const signature = new MessageSigner(keys()).sign('delivery', Buffer.from(JSON.stringify(delivery)));
      const altered = await post(url, CONTENT_TYPE, JSON.stringify({ ...delivery, fence: 4 }), signature);
      expect(altered.status).toBe(401);
      expect(handler.calls).toHaveLength(2);
    });
  });

  describe(`${adapter}, application/json`, () => {
    const body = ` ${JSON.stringify(delivery)} `;
    const send = async (host: Host): Promise<{ status: number; text: string }> => {
      await start(adapter, host);
      const signature = new MessageSigner(keys()).sign('delivery', Buffer.from(body));
      const url = `${await app!.getUrl()}/workflow/deliver`.replace('[::1]', 'localhost');
      return post(url, 'application/json', body, signature);
    };

    it('is accepted when the bytes are at hand', async () => {
      expect(await send({ name: 'raw', options: { rawBody: true } })).toMatchObject({ status: 200 });
      expect(handler.calls).toEqual([delivery]);
    });

    it('is refused with 415 when a parser has consumed them', async () => {
      // Fastify's middleware runs before its parsers, so that there the bytes are lost for the controller alone
      const { status, text } = await send({ name: 'lost', middleware: adapter === 'express' });
      expect(status).toBe(415);
      expect(text).toContain('rawBody: true');
      expect(handler.calls).toEqual([]);
    });
  });

  it(`${adapter}: works in an application made by @nestjs/testing, listening by itself`, async () => {
    const host = { name: 'testing', middleware: false };
    const module = await Test.createTestingModule({ imports: [callbackModule(host)] }).compile();
    app = module.createNestApplication(ADAPTERS[adapter](), { logger: false });
    await app.init();
    if (adapter === 'fastify')
      await (app.getHttpAdapter().getInstance() as { ready(): Promise<void> }).ready();
    const own = app.get(OwnAddress);
    const server = app.getHttpServer() as import('node:http').Server;
    server.listen(0);
    expect(await own.whenListening(10_000)).toBeDefined();
    transport = transportTo(app);
    await transport.ping();
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
  });
}

it('a denying guard shows as refused where the middleware does not run', async () => {
  const host: Host = { ...everything, middleware: false, providers: everything.providers?.slice(0, 1) };
  const http = await start('express', host);
  await expect(http.deliver(delivery)).rejects.toMatchObject({ fate: 'refused', status: 403 });
  await expect(http.ping()).rejects.toThrow(/answered 403.*Forbidden.*WF_CALLBACK_UNREACHABLE/s);
});

it('two applications of one process keep their paths apart', () => {
  expect(createCallbackController('a')).not.toBe(createCallbackController('a'));
});
