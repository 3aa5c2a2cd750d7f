import { gzipSync } from 'node:zlib';
import { Logger } from '@nestjs/common';
import fc from 'fast-check';
import { expect } from 'vitest';
import { WebhookEndpoint, type EndpointAnswer } from '../../lib/http/index.js';
import { webhookEvent, writeWebhookSpec } from '../../lib/engine/webhook.js';
import type { WebhookCallData } from '../../lib/ports/index.js';
import { TOKEN } from '../http/webhook-support.js';
import { Echo, Engine, MAX_BYTES } from './engine.js';
import { text } from './strange.js';
import { Cases } from './support.js';
import { content, contentType, jsonText } from './webhook-bodies.js';

const cases = new Cases('webhooks');
Logger.overrideLogger(false);

const HOOK = `/workflow/hooks/${TOKEN}`;

/** A run that has one webhook, and what lets calls of it in. */
async function engineWithHook(): Promise<{ engine: Engine; endpoint: WebhookEndpoint }> {
  const engine = new Engine();
  await engine.client.trigger(Echo, 1, { runId: 'hooked' });
  const { tables } = engine;
  const { execution } = tables.current.get('hooked')!;
  const spec = writeWebhookSpec({ name: 'hook', methods: ['POST', 'PUT', 'GET'], verify: false });
  const event = webhookEvent(TOKEN);
  tables.steps.get(execution)!.set('hook', {
    ...{
      key: 'hook',
      name: 'hook',
      kind: 'webhook',
      state: 'journaled',
      position: 1,
      attempts: 1,
      askedAt: 0,
    },
    ...{ finishedAt: 0, wakeAt: null, event, eventId: null, dispatched: false, digest: null, request: spec },
    answer: { ok: true, value: '1' },
  });
  tables.webhooks.set(event, { execution, key: 'hook' });
  return { engine, endpoint: new WebhookEndpoint(engine.webhooks, { maxBodyBytes: MAX_BYTES }) };
}

function expectAnswer({ status, body, headers }: EndpointAnswer): void {
  expect(status).toBeGreaterThanOrEqual(200);
  expect(status).toBeLessThan(500);
  expect(headers['cache-control']).toBe('no-store');
  expect(body).not.toMatch(/\n\s+at |node_modules|TypeError|RangeError|select |workflow_run/);
  expect(body).not.toContain(TOKEN);
  if (status >= 400) expect(Object.keys(JSON.parse(body) as object)).toEqual(['code', 'message']);
}

interface Request {
  readonly method?: string;
  readonly url?: string;
  readonly headers?: Record<string, string | string[] | undefined>;
  readonly body?: Buffer;
}

/** 2xx: one call more lies in the inbox of the run; 4xx: nothing was written. */
async function call(request: Request): Promise<{ status: number; kept: WebhookCallData | undefined }> {
  const { engine, endpoint } = await engineWithHook();
  const { method = 'POST', url = HOOK, headers = {}, body = Buffer.alloc(0) } = request;
  const before = engine.dump();
  const answer = await endpoint.handle({ method, url, headers, readBody: async () => body });
  expectAnswer(answer);
  if (answer.status !== 202) {
    expect(engine.dump()).toBe(before);
    return { status: answer.status, kept: undefined };
  }
  expect(engine.store.calls).toHaveLength(1);
  const [message] = [...engine.tables.messages.values()];
  // exactly what a run is given of it
  const kept = engine.codec.decode(message!.data) as WebhookCallData;
  expect(engine.codec.encode(kept, 'it')).toBe(message!.data);
  return { status: 202, kept };
}

const traversal = fc.constantFrom(
  '..',
  '.',
  '%2e%2e',
  '%2F',
  '//',
  '\\',
  '%00',
  '%ff',
  '?',
  '#',
  ';',
  '%',
  '*',
  TOKEN,
);
const path = fc.oneof(
  fc
    .array(fc.oneof(traversal, text(20), fc.webPath()), { maxLength: 5 })
    .map((parts) => `/${parts.join('/')}`),
  fc.tuple(fc.nat(31), fc.constantFrom('a', 'B', '3', '_', '-', 'é', '\0', '%61')).map(([at, to]) => {
    const token = TOKEN.slice(0, at) + to + TOKEN.slice(at + 1);
    return `/workflow/hooks/${token}`;
  }),
  fc.nat(40).map((length) => `/workflow/hooks/${'a'.repeat(length)}`),
  fc.constantFrom(
    `${HOOK}${TOKEN}`,
    `/workflow/hooks/${encodeURIComponent(TOKEN)}%20`,
    'x'.repeat(100_000),
    '',
  ),
  text(60),
);
const method = fc.oneof(
  fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'post', 'PURGE'),
  text(8),
);

cases.property(
  'any path is that of the webhook, or answered 404',
  3000,
  fc.tuple(path, method),
  async ([url, verb]) => {
    const { status } = await call({ url, method: verb, body: Buffer.from('x') });
    const last = url.split('?')[0]!.replace(/\/+$/, '').split('/').at(-1);
    if (last === TOKEN) expect([200, 202, 204, 405]).toContain(status);
    else expect(status).toBe(404);
  },
);

cases.property('any method is listed, answered by itself, or answered 405', 1000, method, async (verb) => {
  const { status, kept } = await call({ method: verb });
  if (['POST', 'PUT', 'GET'].includes(verb)) expect(kept).toMatchObject({ method: verb });
  else expect(status).toBe(verb === 'HEAD' ? 200 : verb === 'OPTIONS' ? 204 : 405);
});

cases.property(
  'any body of any type is kept as it should be, or answered 4xx',
  5000,
  fc.tuple(contentType, content),
  async ([type, body]) => {
    const { status, kept } = await call({ headers: { 'content-type': type }, body });
    expect([202, 400, 413, 415]).toContain(status);
    if (!kept) return;
    const plain = type.split(';')[0]!.trim().toLowerCase();
    const known = /^(text\/.*|.*json|application\/x-www-form-urlencoded)$/.test(plain);
    if (body.length === 0) expect(kept.body).toBeUndefined();
    // what no type explains is kept byte by byte
    else if (!known) expect(Buffer.from(kept.body as Uint8Array).equals(body)).toBe(true);
    else if (plain === 'text/plain' && !type.includes(';'))
      expect(kept.body).toBe(new TextDecoder().decode(body));
    // nothing that a stranger sends changes what other objects inherit
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(JSON.stringify(kept.body ?? null).includes('"__proto__"')).toBe(false);
  },
);

cases.property('JSON comes to the run as it was sent', 2000, fc.jsonValue({ maxDepth: 4 }), async (value) => {
  const json = JSON.stringify(value);
  const { kept } = await call({ headers: { 'content-type': 'application/json' }, body: Buffer.from(json) });
  const clean = json.includes('__proto__') || json.includes('constructor');
  if (!clean) expect(kept!.body).toEqual(JSON.parse(json));
});

cases.property(
  'a form comes to the run as it was sent',
  1000,
  fc.array(fc.tuple(fc.string(), fc.string())),
  async (pairs) => {
    const form = new URLSearchParams(pairs);
    const type = 'application/x-www-form-urlencoded';
    const { kept } = await call({ headers: { 'content-type': type }, body: Buffer.from(form.toString()) });
    const names = [...new Set(pairs.map(([name]) => name))].filter((name) => name !== '__proto__');
    const expected = names.map((name) => [
      name,
      form.getAll(name).length === 1 ? form.get(name) : form.getAll(name),
    ]);
    expect(kept!.body).toEqual(pairs.length === 0 ? undefined : Object.fromEntries(expected));
  },
);

const headerName = fc.oneof(
  fc.constantFrom(
    'x-a',
    'authorization',
    'cookie',
    'connection',
    'te',
    'host',
    '__proto__',
    'constructor',
    ':path',
    'x-b',
  ),
  text(10),
);
const headerValue = fc.oneof(
  text(30),
  fc.array(text(10), { maxLength: 4 }),
  fc.constant(undefined),
  fc.constant('x-a, x-b'),
);

cases.property(
  'any headers and query: secrets and what is of the connection are left out',
  3000,
  fc.tuple(
    fc.array(fc.tuple(headerName, headerValue), { maxLength: 8 }),
    fc.oneof(
      fc.webQueryParameters(),
      text(50),
      fc.constantFrom('__proto__=1&a=1&a=2', 'a[b]=1', '%', '&&&==='),
    ),
  ),
  async ([pairs, query]) => {
    const headers = Object.fromEntries(pairs) as Record<string, string>;
    const { status, kept } = await call({ headers, url: `${HOOK}?${query}`, body: Buffer.from('x') });
    expect([202, 400]).toContain(status);
    if (!kept) return;
    for (const name of ['authorization', 'cookie', 'connection', 'te', ':path'])
      expect(kept.headers).not.toHaveProperty([name]);
    expect(Object.getPrototypeOf(kept.query)).toBe(Object.prototype);
    expect(Object.values(kept.headers).every((value) => typeof value === 'string')).toBe(true);
  },
);

cases.property(
  'what is said to be compressed, or is too long, is refused',
  1000,
  fc.tuple(
    fc.oneof(fc.constantFrom('gzip', 'br', 'deflate', 'gzip, gzip', 'IDENTITY', 'zip'), text(8)),
    fc.boolean(),
    jsonText,
  ),
  async ([encoding, long, json]) => {
    const none = encoding === '' || encoding === 'identity';
    const body = long ? Buffer.alloc(MAX_BYTES + 1, 'x') : gzipSync(json);
    const { status } = await call({
      headers: { 'content-encoding': encoding, 'content-type': 'image/x' },
      body,
    });
    expect(status).toBe(!none ? 415 : long ? 413 : 202);
  },
);
