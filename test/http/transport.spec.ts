import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { poolOptions } from '../../lib/http/callback-target.js';
import { HttpTransport } from '../../lib/http/index.js';
import type { DeliveryReply } from '../../lib/ports/index.js';
import { selfSigned } from '../support/certificate.js';
import { delivery, FakeHandler, Signal, signer } from './support.js';
import { cleanup, endpoint, fateOf, targetOf, transportTo } from './transport-support.js';

describe('a long step', () => {
  it('is cut by no timeout of the client', () => {
    const limits = { connections: 7, connectTimeoutMs: 5000 };
    const options = poolOptions({ url: new URL('http://x/') }, limits);
    expect(options).toMatchObject({ headersTimeout: 0, bodyTimeout: 0, pipelining: 1, connections: 7 });
    expect(options.connect).toMatchObject({ timeout: 5000 });
    expect(options.connect).not.toHaveProperty('rejectUnauthorized');
  });

  it('does not hold up others: deliveries overlap', async () => {
    const handler = new FakeHandler();
    const [all, goOn] = [new Signal(), new Signal<DeliveryReply>()];
    handler.answer = () => {
      if (handler.calls.length === 20) all.resolve();
      return goOn.promise;
    };
    const server = await endpoint(handler, (s) => s.listen(0));
    const transport = transportTo(targetOf(server));
    const replies = Array.from({ length: 20 }, () => transport.deliver(delivery));
    await all.promise;
    goOn.resolve({ next: 'done' });
    expect(await Promise.all(replies)).toEqual(Array.from({ length: 20 }, () => ({ next: 'done' })));
  });

  it('leaves room: no more than `connections` at a time, the others follow', async () => {
    let most = 0;
    const handler = new FakeHandler();
    let running = 0;
    handler.answer = async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return { next: 'done' };
    };
    const server = await endpoint(handler, (s) => s.listen(0));
    const transport = transportTo(targetOf(server), 3);
    await Promise.all(Array.from({ length: 30 }, () => transport.deliver(delivery)));
    expect(handler.calls).toHaveLength(30);
    expect(most).toBeLessThanOrEqual(3);
    expect(() => transportTo(undefined, 0)).toThrow(/WF_INVALID_OPTIONS/);
  });

  it('may end while the transport closes with a grace', async () => {
    const handler = new FakeHandler();
    const [started, goOn] = [new Signal(), new Signal<DeliveryReply>()];
    handler.answer = () => {
      started.resolve();
      return goOn.promise;
    };
    const server = await endpoint(handler, (s) => s.listen(0));
    const transport = transportTo(targetOf(server));
    const reply = transport.deliver(delivery);
    await started.promise;
    const closed = transport.close(60_000);
    goOn.resolve({ next: 'finished' });
    await expect(reply).resolves.toEqual({ next: 'finished' });
    await closed;
  });
});

describe('where the application listens', () => {
  it.each(['0.0.0.0', '::', '127.0.0.1', '::1'])('%s', async (host) => {
    const server = await endpoint(new FakeHandler(), (s) => s.listen(0, host));
    const transport = transportTo(targetOf(server));
    await transport.ping();
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
  });

  it(':: without IPv4', async () => {
    const server = await endpoint(new FakeHandler(), (s) =>
      s.listen({ port: 0, host: '::', ipv6Only: true }),
    );
    await expect(transportTo(targetOf(server)).ping()).resolves.toBeUndefined();
  });

  it('a unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wf-http-'));
    cleanup.push(async () => rmSync(folder, { recursive: true }));
    const server = await endpoint(new FakeHandler(), (s) => s.listen(join(folder, 'app.sock')));
    const transport = transportTo(targetOf(server));
    await transport.ping();
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
  });

  it('https with a certificate of its own: accepted for the own address only', async () => {
    const tls = createTlsServer(selfSigned());
    const server = await endpoint(new FakeHandler(), (s) => s.listen(0), tls);
    const own = targetOf(server, true);
    expect(own.url.protocol).toBe('https:');
    const transport = transportTo(own);
    await transport.ping();
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });

    const configured = transportTo({ ...own, own: false });
    expect((await fateOf(configured)).fate).toBe('not-sent');
    await expect(configured.ping()).rejects.toThrow(/self-signed|SELF_SIGNED/i);
  });

  it('another address from now on', async () => {
    const [a, b] = [new FakeHandler(), new FakeHandler()];
    const servers = [await endpoint(a, (s) => s.listen(0)), await endpoint(b, (s) => s.listen(0))];
    let target = targetOf(servers[0]!);
    const transport = new HttpTransport({ signer: signer(), target: () => target });
    cleanup.push(() => transport.close());
    await transport.deliver(delivery);
    target = targetOf(servers[1]!);
    await transport.deliver(delivery);
    expect([a.calls.length, b.calls.length]).toEqual([1, 1]);
  });
});

it('many deliveries cause no warning of the process', async () => {
  const warnings: Error[] = [];
  const hear = (warning: Error): void => void warnings.push(warning);
  process.on('warning', hear);
  cleanup.push(async () => process.off('warning', hear));
  const server = await endpoint(new FakeHandler(), (s) => s.listen(0));
  const transport = transportTo(targetOf(server), 16);
  await Promise.all(Array.from({ length: 300 }, () => transport.deliver(delivery)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings).toEqual([]);
});
