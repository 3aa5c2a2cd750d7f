import {
  Module,
  RequestMethod,
  VersioningType,
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
  HttpAdapterHost,
  NestFactory,
} from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import {
  answerBeforeParsers,
  applyWebhookMiddleware,
  createWebhookController,
  WebhookEndpoint,
  webhookPrefix,
  webhookUrl,
} from '../../lib/http/index.js';
import { ADAPTERS, DenyAll, Envelope, RefuseAll, SwallowAll, type Host } from './host-support.js';
import { FakeIntake, liveHook, send, TOKEN, type Call } from './webhook-support.js';

const PATH = 'workflow';
const intake = new FakeIntake();
const MAX = 2000;

/** What the workflow module wires. */
function webhookModule(host: Host): DynamicModule {
  const endpoint = new WebhookEndpoint(intake, { maxBodyBytes: MAX });
  @Module({})
  class WebhookModule implements NestModule {
    constructor(
      private readonly adapter: HttpAdapterHost,
      private readonly config: ApplicationConfig,
    ) {}

    configure(consumer: MiddlewareConsumer): void {
      if (host.middleware === false) return;
      applyWebhookMiddleware(consumer, PATH);
      answerBeforeParsers(this.adapter, this.config, endpoint, PATH);
    }
  }
  return {
    module: WebhookModule,
    controllers: [createWebhookController(PATH)],
    providers: [{ provide: WebhookEndpoint, useValue: endpoint }, ...(host.providers ?? [])],
  };
}

class AppModule {
  readonly name = 'app';
}

const everything: Host = {
  name: 'everything at once',
  providers: [
    { provide: APP_GUARD, useClass: DenyAll },
    { provide: APP_PIPE, useClass: RefuseAll },
    { provide: APP_INTERCEPTOR, useClass: Envelope },
    { provide: APP_FILTER, useClass: SwallowAll },
  ],
  options: { rawBody: true, cors: true },
  setup: (app) => {
    app.setGlobalPrefix('api/v2');
    app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
  },
};

const HOSTS: Host[] = [
  { name: 'plain' },
  { name: 'global prefix', setup: (app) => app.setGlobalPrefix('api') },
  {
    name: 'global prefix that excludes the route',
    setup: (app) => app.setGlobalPrefix('api', { exclude: ['workflow/hooks/*rest'] }),
  },
  {
    name: 'global prefix that excludes it as a parameter, for all methods',
    setup: (app) =>
      app.setGlobalPrefix('/api/', { exclude: [{ path: 'workflow/hooks/:any', method: RequestMethod.ALL }] }),
  },
  {
    name: 'global prefix that excludes it for POST only',
    setup: (app) =>
      app.setGlobalPrefix('api', { exclude: [{ path: 'workflow/hooks/*rest', method: RequestMethod.POST }] }),
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
  { name: 'cors', options: { cors: true } },
  everything,
];

let app: INestApplication | undefined;

afterEach(async () => {
  await app?.close();
  app = undefined;
  intake.reset();
});

/** @returns the URL of the webhook, as `createWebhook` would give it */
async function start(adapter: keyof typeof ADAPTERS, host: Host): Promise<string> {
  const root = { module: AppModule, imports: [webhookModule(host)] };
  app = await NestFactory.create(root, ADAPTERS[adapter](), { logger: false, ...host.options });
  host.setup?.(app);
  await app.listen(0, '127.0.0.1');
  return urlOf(app);
}

async function urlOf(running: INestApplication): Promise<string> {
  const prefix = webhookPrefix(running.get(ApplicationConfig), PATH);
  return webhookUrl((await running.getUrl()).replace('[::1]', '127.0.0.1'), prefix, PATH, TOKEN).href;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const BINARY = Uint8Array.from({ length: 300 }, (_, i) => i % 256);

/** Each with what the run is given of it. */
const CALLS: { readonly type: string; readonly body: string | Uint8Array; readonly given: unknown }[] = [
  { type: 'application/json', body: ' {"a":[1,null,"ü"]}\n', given: { a: [1, null, 'ü'] } },
  { type: 'application/cloudevents+json; charset=UTF-8', body: '"x"', given: 'x' },
  { type: 'application/x-www-form-urlencoded', body: 'a=1&b=%C3%BC+&a=2', given: { a: ['1', '2'], b: 'ü ' } },
  { type: 'text/plain', body: 'plain ü', given: 'plain ü' },
  { type: 'application/xml', body: '<a/>', given: bytes('<a/>') },
  { type: 'application/octet-stream', body: BINARY, given: BINARY },
  {
    type: 'multipart/form-data; boundary=x',
    body: '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
    given: bytes('--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'),
  },
];

for (const adapter of ['express', 'fastify'] as const) {
  describe.each(HOSTS)(`${adapter}, $name`, (host) => {
    it('takes every kind of body, byte by byte, and answers the rest without writing', async () => {
      const url = await start(adapter, host);
      for (const { type, body, given } of CALLS) {
        const answer = await send(`${url}?q=1`, { headers: { 'content-type': type }, body });
        expect({ type, status: answer.status, text: answer.text }).toEqual({
          type,
          status: 202,
          text: '{"accepted":true}',
        });
        expect(answer.headers['cache-control']).toBe('no-store');
        expect(intake.calls.at(-1)).toMatchObject({ method: 'POST', query: { q: '1' }, body: given });
        expect(Buffer.from(intake.senders.at(-1)!.rawBody).equals(Buffer.from(body))).toBe(true);
      }
      expect(intake.calls).toHaveLength(CALLS.length);

      const status = async (call: Call, to = url): Promise<number> => (await send(to, call)).status;
      const json = { 'content-type': 'application/json' };
      expect(await status({ method: 'HEAD' })).toBe(200);
      // where the application answers preflights it does so before us
      const preflight = { origin: 'https://shop.test', 'access-control-request-method': 'POST' };
      expect(await status({ method: 'OPTIONS', headers: preflight })).toBe(204);
      expect(await status({ method: 'GET' })).toBe(405);
      expect(await status({ method: 'DELETE' })).toBe(405);
      expect(await status({ headers: json, body: '{"a":' })).toBe(400);
      expect(await status({ headers: json, body: JSON.stringify('x'.repeat(MAX)) })).toBe(413);
      expect(await status({ chunks: [new Uint8Array(MAX), new Uint8Array(1)] })).toBe(413);
      expect(await status({ headers: json, body: '{}' }, url.replace(TOKEN, TOKEN.toLowerCase()))).toBe(404);
      expect(await status({ headers: json, body: '{}' }, url.replace(TOKEN, 'short'))).toBe(404);
      expect(intake.calls).toHaveLength(CALLS.length);

      expect(await status({ method: 'PUT' })).toBe(202);
      intake.hook = { ...liveHook, methods: ['GET', 'DELETE'] };
      expect(await status({ method: 'HEAD' })).toBe(200);
      expect(intake.calls).toHaveLength(CALLS.length + 1);
      expect(await status({ method: 'GET' })).toBe(202);
      expect(await status({ method: 'DELETE', headers: json, body: '[1]' })).toBe(202);
      expect(intake.calls.slice(-3)).toMatchObject([
        { method: 'PUT', body: undefined },
        { method: 'GET', body: undefined },
        { method: 'DELETE', body: [1] },
      ]);
    });
  });

  it(`${adapter}: works in an application made by @nestjs/testing`, async () => {
    const module = await Test.createTestingModule({
      imports: [webhookModule({ name: 'testing' })],
    }).compile();
    app = module.createNestApplication(ADAPTERS[adapter](), { logger: false });
    await app.listen(0, '127.0.0.1');
    const headers = { 'content-type': 'application/json' };
    expect((await send(await urlOf(app), { headers, body: '{ }' })).status).toBe(202);
    expect(Buffer.from(intake.senders[0]!.rawBody).toString()).toBe('{ }');
  });

  it(`${adapter}: where only the controller answers, it refuses bytes that are gone and takes the rest`, async () => {
    const url = await start(adapter, { name: 'controller alone', middleware: false });
    const headers = { 'content-type': 'application/json' };
    const refused = await send(url, { headers, body: '{}' });
    expect(refused).toMatchObject({ status: 415 });
    expect(refused.text).toContain('consumed');
    expect((await send(url, {})).status).toBe(202);
    expect((await send(url, { method: 'GET' })).status).toBe(405);
    expect(intake.calls).toHaveLength(1);
  });
}

it('express: what the application has put before its parsers runs before the webhooks', async () => {
  const url = await start('express', { name: 'cors', options: { cors: true } });
  const headers = { origin: 'https://shop.test' };
  expect((await send(url, { headers, body: 'x' })).headers['access-control-allow-origin']).toBe('*');
});

it('express: parsers that the application brings itself are behind it as well', async () => {
  const setup = (running: INestApplication): void => {
    (running as NestExpressApplication).useBodyParser('json', { limit: 10 }).useBodyParser('urlencoded');
  };
  const url = await start('express', { name: 'own parsers', options: { bodyParser: false }, setup });
  const headers = { 'content-type': 'application/json' };
  expect((await send(url, { headers, body: ' {"more": "than ten bytes"} ' })).status).toBe(202);
  expect(Buffer.from(intake.senders[0]!.rawBody).toString()).toBe(' {"more": "than ten bytes"} ');
});

it('express: routes of the application below the webhooks are its own', async () => {
  const url = await start('express', { name: 'plain' });
  expect((await send(url.replace(TOKEN, `${TOKEN}/more`), { body: 'x' })).status).toBe(404);
  expect((await send(url.replace(TOKEN, `more/${TOKEN}`), { body: 'x' })).status).toBe(404);
  expect(intake.asked).toEqual([]);
});

it('two applications of one process keep their paths apart', () => {
  expect(createWebhookController('a')).not.toBe(createWebhookController('a'));
});
