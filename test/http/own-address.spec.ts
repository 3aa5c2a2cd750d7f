import { ApplicationConfig, HttpAdapterHost, NestFactory } from '@nestjs/core';
import { Module, RequestMethod } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { callbackPrefix, callbackRoute, callbackUrl, OwnAddress } from '../../lib/http/index.js';
import { addressOf } from '../../lib/http/own-address.js';
import { displayUrl } from '../../lib/http/callback-target.js';

@Module({ providers: [OwnAddress] })
class AppModule {
  readonly name = 'app';
}

describe('addressOf', () => {
  const at = (address: string, family = 'IPv4') => ({ address, family, port: 3000 });
  it.each([
    [at('0.0.0.0'), false, { base: 'http://127.0.0.1:3000' }],
    [at('::', 'IPv6'), false, { base: 'http://localhost:3000', addresses: ['127.0.0.1', '::1'] }],
    [at('::1', 'IPv6'), false, { base: 'http://[::1]:3000' }],
    [at('10.0.0.7'), true, { base: 'https://10.0.0.7:3000' }],
    ['/run/app.sock', false, { base: 'http://localhost', socketPath: '/run/app.sock' }],
    [null, false, undefined],
  ])('%j, tls %j', (address, tls, expected) => {
    expect(addressOf(address, tls)).toEqual(expected);
  });
});

describe('OwnAddress', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  function watching(): { server: Server; own: OwnAddress } {
    const server = createServer();
    servers.push(server);
    const host = { httpAdapter: { getHttpServer: () => server } } as unknown as HttpAdapterHost;
    return { server, own: new OwnAddress(host) };
  }
  const listen = async (server: Server): Promise<void> => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  };

  it('learns an address that comes later', async () => {
    const { server, own } = watching();
    own.watch();
    const heard = vi.fn();
    own.onceListening(heard);
    expect(own.current).toBeUndefined();
    const waiting = own.whenListening(60_000);
    await listen(server);
    const address = await waiting;
    expect(address?.base).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(heard).toHaveBeenCalledOnce();
    expect(await own.whenListening(0)).toBe(address);
  });

  it('learns an address that is there already, and waits for the bootstrap', async () => {
    const { server, own } = watching();
    const before = server.listenerCount('listening');
    const waiting = own.whenListening(60_000);
    await listen(server);
    own.onApplicationBootstrap();
    own.onApplicationBootstrap();
    expect(await waiting).toBe(own.current);
    const heard = vi.fn();
    own.onceListening(heard);
    expect(heard).toHaveBeenCalledOnce();
    expect(server.listenerCount('listening')).toBe(before + 1);
  });

  it('forgets it when the server closes, and learns the next one', async () => {
    const { server, own } = watching();
    own.watch();
    await listen(server);
    const first = own.current;
    const [left, heard] = [vi.fn(), vi.fn()];
    own.onceClosed(left);
    expect(left).not.toHaveBeenCalled();
    server.close();
    await once(server, 'close');
    expect(own.current).toBeUndefined();
    expect(left).toHaveBeenCalledOnce();
    own.onceListening(heard);
    await listen(server);
    server.close();
    await once(server, 'close');
    await listen(server);
    expect([left, heard].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
    expect(own.current).toBeDefined();
    expect(own.current).not.toBe(first);
  });

  it('gives up after the time', async () => {
    const { own } = watching();
    own.watch();
    expect(await own.whenListening(1)).toBeUndefined();
  });

  it('says undefined at once in an application without HTTP', async () => {
    const context = await NestFactory.createApplicationContext(AppModule, { logger: false });
    expect(await context.get(OwnAddress).whenListening(60_000)).toBeUndefined();
    await context.close();
  });

  it.each([undefined, 'fastify'])('learns where app.listen() listens (%s)', async (adapter) => {
    const options = { logger: false } as const;
    const app = adapter
      ? await NestFactory.create(AppModule, new FastifyAdapter(), options)
      : await NestFactory.create(AppModule, options);
    const waiting = app.get(OwnAddress).whenListening(60_000);
    await app.listen(0, '127.0.0.1');
    expect((await waiting)?.base).toBe(await app.getUrl());
    await app.close();
    expect(app.get(OwnAddress).current).toBeUndefined();
  });
});

describe('the callback URL', () => {
  it.each([
    ['http://127.0.0.1:3000', '', 'workflow', 'http://127.0.0.1:3000/workflow/deliver'],
    [
      'https://app.example/base/',
      '/api/v1',
      '/jobs/workflow/',
      'https://app.example/base/api/v1/jobs/workflow/deliver',
    ],
    ['https://app.example?token=1#x', 'api', '', 'https://app.example/api/deliver?token=1'],
  ])('%s + %s + %s', (base, prefix, path, url) => {
    expect(callbackUrl(base, prefix, path).href).toBe(url);
  });

  it('shows no secret of the URL', () => {
    const url = new URL('https://user:pass@app.example/workflow/deliver?token=secret');
    expect(displayUrl({ url })).toBe('https://app.example/workflow/deliver');
    expect(displayUrl({ url, socketPath: '/run/a.sock' })).toContain('/run/a.sock');
  });

  it('knows the route and the prefix', () => {
    const config = new ApplicationConfig();
    expect([callbackRoute('/workflow/'), callbackPrefix(config, 'workflow')]).toEqual([
      'workflow/deliver',
      '',
    ]);
    config.setGlobalPrefix('/api');
    expect(callbackPrefix(config, 'workflow')).toBe('api');
    const exclude = (requestMethod: number, pathRegex: RegExp) => [{ path: '', requestMethod, pathRegex }];
    for (const [method, regex, prefix] of [
      [RequestMethod.POST, /^\/workflow\/deliver$/, ''],
      [RequestMethod.ALL, /^\/workflow/, ''],
      [-1, /^\/workflow/, ''],
      [RequestMethod.GET, /^\/workflow/, 'api'],
      [RequestMethod.POST, /^\/other/, 'api'],
    ] as const) {
      config.setGlobalPrefixOptions({ exclude: exclude(method, regex) });
      expect(callbackPrefix(config, 'workflow')).toBe(prefix);
    }
  });
});
