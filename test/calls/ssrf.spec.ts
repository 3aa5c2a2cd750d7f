import type { LookupAddress } from 'node:dns';
import { describe, expect, it } from 'vitest';
import { toFailure } from '../../lib/engine/failure.js';
import type { Lookup } from '../../lib/http/index.js';
import { callClient, callTo, never, serveHttp, type ClientGiven, type Served } from './support.js';

/** A server that must hear nothing. */
const inner = (): Promise<Served> => serveHttp((_request, response) => response.end('secret'));

async function failureOf(url: string, given: ClientGiven): Promise<unknown> {
  const outcome = await callClient(given).perform(callTo(url), never);
  return outcome.ok ? outcome.value : toFailure(outcome.error);
}

const words = (...lines: string[]): string[] => lines.flatMap((line) => line.split(' '));
const denied = expect.objectContaining({ code: 'WF_CALL_DENIED', retryable: false });

/** Answers each look-up with the next list, the last one for ever. */
function resolving(...answers: string[][]): { lookup: Lookup; asked: () => number } {
  let asked = 0;
  const lookup: Lookup = (_host, _options, done) => {
    const addresses = answers[Math.min(asked++, answers.length - 1)]!;
    done(
      null,
      addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return { lookup, asked: () => asked };
}

describe('a call to an address of this machine is denied', () => {
  it.each(
    words(
      '127.0.0.1 127.1 2130706433 017700000001 0x7f000001 0x7f.1 0177.0.0.1 127.0.0.1. 0',
      '[::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1] [::]',
      'localhost LOCALHOST user:pass@127.0.0.1',
    ),
  )('as %s', async (host) => {
    const { port, requests } = await inner();
    expect(await failureOf(`http://${host}:${port}/`, { rules: {} })).toEqual(denied);
    expect(requests).toEqual([]);
  });

  it('over TLS too', async () => {
    const { port } = await inner();
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
      expect(await failureOf(`https://${host}:${port}/`, { rules: {} })).toEqual(denied);
    }
  });
});

describe('a name', () => {
  it('that resolves to a denied address is denied', async () => {
    const { port, requests } = await inner();
    for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1', '169.254.169.254']) {
      const { lookup } = resolving([address]);
      expect(await failureOf(`http://evil.example:${port}/`, { rules: {}, lookup })).toEqual(denied);
    }
    expect(requests).toEqual([]);
  });

  it('that changes its address between look-ups is connected to where it was checked', async () => {
    const { port, requests } = await inner();
    // 127.0.0.9 stands for the public address: nobody listens there
    const { lookup, asked } = resolving(['127.0.0.9'], ['127.0.0.1']);
    const rules = { allow: ['127.0.0.9'] };
    const failure = await failureOf(`http://rebind.example:${port}/`, { rules, lookup });
    expect(failure).toMatchObject({ code: 'WF_CALL_FAILED' });
    expect(asked()).toBe(1);
    expect(requests).toEqual([]);
  });

  it('with a denied address beside others is reached at the others', async () => {
    const { port, requests } = await inner();
    const { lookup } = resolving(['127.0.0.2', '127.0.0.1']);
    const given = { rules: { allow: ['127.0.0.1'] }, lookup };
    expect(await failureOf(`http://both.example:${port}/`, given)).toMatchObject({ status: 200 });
    expect(requests.length).toBe(1);
  });

  it('is looked at again at each redirect and each new connection', async () => {
    const { port, requests } = await serveHttp((request, response) => {
      if (request.url !== '/') {
        response.end('secret');
        return;
      }
      response.writeHead(302, { location: '/secret', connection: 'close' });
      response.end();
    });
    const { lookup, asked } = resolving(['127.0.0.1'], ['127.0.0.2']);
    const given = { rules: { allow: ['127.0.0.1'] }, lookup };
    expect(await failureOf(`http://rebind.example:${port}/`, given)).toEqual(denied);
    expect(asked()).toBe(2);
    expect(requests.map(({ url }) => url)).toEqual(['/']);
  });

  it('may be allowed, whatever it resolves to, but for what is denied by name of address', async () => {
    const { port } = await inner();
    const { lookup } = resolving(['127.0.0.1']);
    const url = `http://billing.internal:${port}/`;
    expect(await failureOf(url, { rules: { allow: ['billing.internal'] }, lookup })).toMatchObject({
      status: 200,
    });
    const rules = { allow: ['billing.internal'], deny: ['127.0.0.0/8'] };
    expect(await failureOf(url, { rules, lookup })).toEqual(denied);
    expect(await failureOf(`http://127.0.0.1:${port}/`, { rules: { allow: ['billing.internal'] } })).toEqual(
      denied,
    );
  });
});
