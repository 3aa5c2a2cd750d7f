import { beforeEach, describe, expect, it } from 'vitest';
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
import { encodeDelivery } from '../../lib/http/protocol.js';
import type { DeliveryReply } from '../../lib/ports/index.js';
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
    const headers = { 'content-type': CONTENT_TYPE, [SIGNATURE_HEADER]: sign.sign('delivery', bytes) };
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
