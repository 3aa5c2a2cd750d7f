import fc from 'fast-check';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WORKFLOW_ERRORS, WorkflowError } from '../../lib/errors/index.js';
import {
  CallbackEndpoint,
  CONTENT_TYPE,
  MessageVerifier,
  PROTOCOL_HEADER,
  SIGNATURE_HEADER,
  type EndpointAnswer,
  type MessageKind,
} from '../../lib/http/index.js';
import { encodeDelivery, parseDelivery } from '../../lib/http/protocol.js';
import { serve } from '../../lib/http/serve.js';
import type { Delivery, DeliveryReply } from '../../lib/ports/index.js';
import { delivery, FakeHandler, keys, Signal, signer } from './support.js';

const sign = signer();
let handler: FakeHandler;
let endpoint: CallbackEndpoint;

beforeEach(() => {
  handler = new FakeHandler();
  endpoint = new CallbackEndpoint(handler, new MessageVerifier(keys()), { instance: 'i1' });
});

async function send(
  body: Buffer | string,
  kind: MessageKind = 'delivery',
  type = CONTENT_TYPE,
): Promise<EndpointAnswer> {
  const bytes = Buffer.from(body);
  return endpoint.handle(bytes, { 'content-type': type, [SIGNATURE_HEADER]: await sign.sign(kind, bytes) });
}
const sendDelivery = (): Promise<EndpointAnswer> => send(encodeDelivery(delivery));
const bodyOf = (answer: EndpointAnswer): unknown => JSON.parse(answer.body) as unknown;

describe('the endpoint answers', () => {
  it.each<[DeliveryReply, number]>([
    [{ next: 'continue', seq: 13 }, 200],
    [{ next: 'waiting' }, 200],
    [{ next: 'waiting', dueInMs: 1500 }, 200],
    [{ next: 'finished' }, 200],
    [{ next: 'done' }, 200],
    [{ next: 'adopted' }, 202],
  ])('%j with %i', async (reply, status) => {
    handler.answer = () => Promise.resolve(reply);
    const answer = await sendDelivery();
    expect(answer.status).toBe(status);
    expect(bodyOf(answer)).toEqual(reply);
    expect(answer.headers).toEqual({
      'content-type': CONTENT_TYPE,
      'cache-control': 'no-store',
      [PROTOCOL_HEADER]: '1',
    });
  });

  it('stale with 409, replied or thrown', async () => {
    handler.answer = () => Promise.resolve({ next: 'stale' });
    const replied = await sendDelivery();
    handler.answer = () => Promise.reject(new WorkflowError('WF_STALE_DELIVERY', 'Overtaken'));
    const thrown = await sendDelivery();
    expect([replied.status, thrown.status]).toEqual([409, 409]);
    expect(bodyOf(replied)).toMatchObject({ code: 'WF_STALE_DELIVERY' });
  });

  it('not served with 421, shutting down with 503 and retry-after', async () => {
    handler.answer = () => Promise.reject(new WorkflowError('WF_NOT_SERVED', 'Workflow "x" is not here'));
    expect(await sendDelivery()).toMatchObject({ status: 421 });
    handler.answer = () => Promise.reject(new WorkflowError('WF_SHUTTING_DOWN', 'Draining'));
    expect(await sendDelivery()).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
  });

  it('every other error of the handler with 500, for it may have executed something', async () => {
    const codes = Object.keys(WORKFLOW_ERRORS) as (keyof typeof WORKFLOW_ERRORS)[];
    const own = new Set(['WF_NOT_SERVED', 'WF_SHUTTING_DOWN', 'WF_STALE_DELIVERY']);
    for (const code of codes.filter((name) => !own.has(name))) {
      handler.answer = () => Promise.reject(new WorkflowError(code, 'From the handler'));
      const answer = await sendDelivery();
      expect([code, answer.status]).toEqual([code, 500]);
      expect(bodyOf(answer)).toMatchObject({ code });
    }
  });

  it('whatever is thrown with 500, never a stack', async () => {
    const odd: any[] = [
      new Error('boom'),
      'text',
      undefined,
      null,
      7,
      Object.create(null),
      { toString: 1 },
      Symbol('s'),
    ];
    for (const thrown of odd) {
      handler.answer = () => Promise.reject(thrown);
      const answer = await sendDelivery();
      expect(answer.status).toBe(500);
      expect(Object.keys(bodyOf(answer) as object)).toEqual(['code', 'message']);
      expect(answer.body).not.toContain('endpoint.spec');
    }
    handler.answer = () => {
      throw new Error('synchronously');
    };
    expect(bodyOf(await sendDelivery())).toEqual({ code: 'INTERNAL', message: 'synchronously' });
  });

  it('a handler without a reply with 500', async () => {
    for (const reply of [
      undefined,
      {},
      { next: 'later' },
      { next: 'continue' },
      { next: 'continue', seq: -1 },
    ]) {
      handler.answer = () => Promise.resolve(reply as DeliveryReply);
      expect((await sendDelivery()).status).toBe(500);
    }
  });

  it('a ping with its nonce and who it is', async () => {
    const answer = await send('{"ping":"n1"}', 'ping');
    expect([answer.status, bodyOf(answer)]).toEqual([200, { pong: 'n1', instance: 'i1' }]);
  });

  it('a ping signed as a delivery, or the other way round, with 400', async () => {
    expect((await send('{"ping":"n1"}')).status).toBe(400);
    expect((await send(encodeDelivery(delivery), 'ping')).status).toBe(400);
    expect(handler.calls).toEqual([]);
  });

  it('a replay with 401', async () => {
    const bytes = encodeDelivery(delivery);
    const headers = { 'content-type': CONTENT_TYPE, [SIGNATURE_HEADER]: await sign.sign('delivery', bytes) };
    const statuses = [
      (await endpoint.handle(bytes, headers)).status,
      (await endpoint.handle(bytes, headers)).status,
    ];
    expect(statuses).toEqual([200, 401]);
    expect(handler.calls).toHaveLength(1);
  });

  it('content types with 415, unless they are the own or JSON', async () => {
    const statusOf = async (type: string): Promise<number> =>
      (await send(encodeDelivery(delivery), 'delivery', type)).status;
    for (const good of [
      CONTENT_TYPE,
      `${CONTENT_TYPE}; charset=utf-8`,
      CONTENT_TYPE.toUpperCase(),
      'application/json',
    ]) {
      expect([good, await statusOf(good)]).toEqual([good, 200]);
    }
    for (const bad of [
      '',
      'text/plain',
      `${CONTENT_TYPE}x`,
      CONTENT_TYPE.replace('v1', 'v2'),
      'multipart/form-data',
    ]) {
      expect([bad, await statusOf(bad)]).toEqual([bad, 415]);
    }
    expect((await endpoint.handle(undefined, { 'content-type': CONTENT_TYPE })).status).toBe(415);
    expect((await endpoint.handle(Buffer.from('{}'), {})).status).toBe(415);
  });

  it('a body over 64 KiB with 413, before its signature is looked at', async () => {
    expect((await send(Buffer.alloc(65_537, 0x20))).status).toBe(413);
    expect((await endpoint.handle(Buffer.alloc(65_537), { 'content-type': CONTENT_TYPE })).status).toBe(413);
    expect((await send(Buffer.alloc(65_536, 0x20))).status).toBe(400);
  });
});

describe('a body that is no delivery is answered 400 and names the field', () => {
  const without = (name: keyof Delivery): unknown => ({ ...delivery, [name]: undefined });
  it.each<[string, unknown, RegExp]>([
    ['unknown field', { ...delivery, journal: [] }, /unknown field "journal"/],
    [
      'prototype',
      JSON.parse(`{"__proto__":{},${JSON.stringify(delivery).slice(1)}`),
      /unknown field "__proto__"/,
    ],
    ['constructor', { ...delivery, constructor: 1 }, /unknown field "constructor"/],
    ...(['workflow', 'version', 'runId', 'taskId', 'fence', 'seq'] as const).map((name) => {
      return [`no ${name}`, without(name), new RegExp(`lacks the field "${name}"`)] as [
        string,
        unknown,
        RegExp,
      ];
    }),
    ['workflow number', { ...delivery, workflow: 1 }, /"workflow"/],
    ['workflow empty', { ...delivery, workflow: '' }, /"workflow"/],
    ['version number', { ...delivery, version: 1 }, /"version"/],
    ['runId with NUL', { ...delivery, runId: 'a\0b' }, /"runId"/],
    ['taskId number', { ...delivery, taskId: 7 }, /"taskId"/],
    ['taskId signed', { ...delivery, taskId: '-7' }, /"taskId"/],
    ['taskId hex', { ...delivery, taskId: '0x7' }, /"taskId"/],
    ['taskId beyond 64 bits', { ...delivery, taskId: '9223372036854775808' }, /"taskId"/],
    ['fence text', { ...delivery, fence: '3' }, /"fence"/],
    ['fence fraction', { ...delivery, fence: 1.5 }, /"fence"/],
    ['fence negative', { ...delivery, fence: -1 }, /"fence"/],
    ['fence unsafe', { ...delivery, fence: 2 ** 53 }, /"fence"/],
    ['seq null', { ...delivery, seq: null }, /"seq"/],
    ['step null', { ...delivery, step: null }, /"step"/],
    ['step empty', { ...delivery, step: '' }, /"step"/],
    ['array', [delivery], /not a JSON object/],
    ['null', null, /not a JSON object/],
  ])('%s', async (_name, body, message) => {
    const answer = await send(JSON.stringify(body));
    expect(answer.status).toBe(400);
    expect(bodyOf(answer)).toEqual({
      code: 'WF_BAD_DELIVERY',
      message: expect.stringMatching(message) as string,
    });
    expect(handler.calls).toEqual([]);
  });

  it.each([
    ['empty', Buffer.alloc(0)],
    ['half', encodeDelivery(delivery).subarray(0, -1)],
    ['not UTF-8', Buffer.concat([Buffer.from('{"workflow":"'), Buffer.from([0xff]), Buffer.from('"}')])],
    ['UTF-16', Buffer.from(JSON.stringify(delivery), 'utf16le')],
  ])('%s', async (_name, body) => {
    expect((await send(body)).status).toBe(400);
  });
});

describe('fuzz', () => {
  const alphabet = fc.constantFrom(...Object.keys(delivery), 'step', '__proto__', 'toString', 'ping');
  const nearly = fc.dictionary(
    alphabet,
    fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(...Object.values(delivery))),
  );

  it('random bytes never reach the handler, signed or not, and are never a 500', async () => {
    const header = fc.oneof(fc.constant(undefined), fc.string(), fc.array(fc.string()));
    const type = fc.oneof(fc.constantFrom(CONTENT_TYPE, 'application/json'), header);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        type,
        header,
        fc.boolean(),
        async (bytes, ct, token, signed) => {
          const body = Buffer.from(bytes);
          const signature = signed ? await sign.sign('delivery', body) : token;
          const { status } = await endpoint.handle(body, {
            'content-type': ct,
            [SIGNATURE_HEADER]: signature,
          });
          expect([400, 401, 415]).toContain(status);
        },
      ),
      { numRuns: 500 },
    );
    expect(handler.calls).toEqual([]);
  });

  it('random JSON is a 400, or a whole delivery', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.json(),
          nearly.map((value) => JSON.stringify(value)),
        ),
        async (json) => {
          handler.calls.length = 0;
          const { status } = await send(json);
          const expected = status === 200 ? [200, [parseDelivery(Buffer.from(json))]] : [400, []];
          expect([status, handler.calls]).toEqual(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('a delivery survives its encoding', () => {
    const text = fc
      .string({ minLength: 1, maxLength: 200, unit: 'grapheme' })
      .filter((s) => !s.includes('\0'));
    const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    const any = fc.record(
      {
        workflow: text,
        version: fc.option(text),
        runId: text,
        taskId: fc.bigInt(0n, 2n ** 63n - 1n).map(String),
        fence: count,
        seq: count,
        step: text,
      },
      { requiredKeys: ['workflow', 'version', 'runId', 'taskId', 'fence', 'seq'] },
    );
    fc.assert(
      fc.property(any, (one) => {
        expect(parseDelivery(encodeDelivery(one))).toEqual(one);
      }),
    );
  });
});

describe('over a socket', () => {
  let server: Server;
  let socket: Socket;
  let served: Signal;

  beforeEach(async () => {
    served = new Signal();
    server = createServer(
      (request, response) => void serve(endpoint, request, response).then(served.resolve),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
  });
  afterEach(async () => {
    socket.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const head = (length: string): string =>
    `POST /workflow/deliver HTTP/1.1\r\nhost: x\r\ncontent-type: ${CONTENT_TYPE}\r\n${length}\r\n\r\n`;
  async function answered(): Promise<string> {
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    return text;
  }

  it('a half-sent body is answered 408 and its connection closed', async () => {
    endpoint = new CallbackEndpoint(handler, new MessageVerifier(keys()), {
      instance: 'i1',
      bodyTimeoutMs: 100,
    });
    socket.write(`${head('content-length: 100')}{"half":`);
    expect(await answered()).toMatch(/^HTTP\/1.1 408 .*connection: close.*not complete after 100 ms/is);
  });

  it('an announced length over the limit is answered 413 before it comes', async () => {
    socket.write(head('content-length: 65537'));
    expect(await answered()).toMatch(/^HTTP\/1.1 413 .*connection: close/is);
  });

  it('a length over the limit that is not announced is answered 413', async () => {
    socket.write(`${head('transfer-encoding: chunked')}10001\r\n${'x'.repeat(0x10001)}`);
    expect(await answered()).toMatch(/^HTTP\/1.1 413 /);
  });

  it('a sender that hangs up is forgotten', async () => {
    const arrived = once(server, 'request');
    socket.write(`${head('content-length: 100')}{"half":`);
    await arrived;
    socket.destroy();
    await served.promise;
    expect(handler.calls).toEqual([]);
  });

  it('a sender that hangs up while its delivery executes does not disturb it', async () => {
    const [started, goOn] = [new Signal(), new Signal<DeliveryReply>()];
    handler.answer = () => {
      started.resolve();
      return goOn.promise;
    };
    const body = encodeDelivery(delivery);
    const signature = await sign.sign('delivery', body);
    socket.write(
      head(`content-length: ${body.length}\r\n${SIGNATURE_HEADER}: ${signature}`) + body.toString(),
    );
    await started.promise;
    socket.destroy();
    goOn.resolve({ next: 'waiting' });
    await served.promise;
    expect(handler.calls).toEqual([delivery]);
  });
});
