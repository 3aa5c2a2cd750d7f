import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  CallbackEndpoint,
  CONTENT_TYPE,
  MessageVerifier,
  SIGNATURE_HEADER,
  type EndpointAnswer,
  type MessageKind,
} from '../../lib/http/index.js';
import { encodeDelivery, parseDelivery } from '../../lib/http/protocol.js';
import type { Delivery } from '../../lib/ports/index.js';
import { delivery, FakeHandler, keys, signer } from './support.js';

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
  return endpoint.handle(bytes, { 'content-type': type, [SIGNATURE_HEADER]: sign.sign(kind, bytes) });
}
const bodyOf = (answer: EndpointAnswer): unknown => JSON.parse(answer.body) as unknown;

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
    ['fence that no column holds', { ...delivery, fence: 2 ** 31 }, /"fence"/],
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
          const signature = signed ? sign.sign('delivery', body) : token;
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
    const count = fc.nat({ max: 2 ** 31 - 1 });
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
