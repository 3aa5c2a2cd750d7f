import { describe, expect, it } from 'vitest';
import { DEFAULT_RETRY } from '../engine/retry.js';
import { callRequest, type CallOptions } from './call.js';

const defaults = { retry: DEFAULT_RETRY, timeoutMs: 120_000 };
const request = (options: Partial<CallOptions> = {}) =>
  callRequest('charge', { url: 'https://api.example/charges', ...options } as CallOptions, defaults);
const post = (body: unknown, more: Partial<CallOptions> = {}) => {
  const { body: stored, headers } = request({ method: 'POST', body, ...more });
  return { stored, type: headers['content-type'] };
};

describe('callRequest', () => {
  it('fills in what is left out', () => {
    expect(request()).toEqual({
      url: 'https://api.example/charges',
      method: 'GET',
      headers: {},
      body: null,
      timeoutMs: 120_000,
      throwOnError: false,
      redirect: 'follow',
      retry: DEFAULT_RETRY,
    });
  });

  it('takes what is given', () => {
    const headers = { Authorization: 'Bearer x', 'X-None': undefined };
    expect(
      request({
        url: new URL('http://ann:pw@host.example:81/a?b=c#d'),
        method: 'delete',
        headers,
        timeout: '12h',
        throwOnError: true,
        redirect: 'manual',
      }),
    ).toMatchObject({
      url: 'http://ann:pw@host.example:81/a?b=c',
      method: 'DELETE',
      headers: { authorization: 'Bearer x' },
      timeoutMs: 43_200_000,
      throwOnError: true,
      redirect: 'manual',
    });
  });

  it('stores any body, and says what it is', () => {
    const utf8 = (data: string) => ({ encoding: 'utf8', data });
    const base64 = { encoding: 'base64', data: 'AAH/' };
    expect(post('text ü')).toEqual({ stored: utf8('text ü'), type: 'text/plain;charset=UTF-8' });
    expect(post('')).toEqual({ stored: utf8(''), type: 'text/plain;charset=UTF-8' });
    const bytes = Uint8Array.from([9, 0, 1, 255]).subarray(1);
    for (const body of [
      bytes,
      Buffer.from(bytes),
      bytes.slice().buffer,
      new DataView(bytes.slice().buffer),
    ]) {
      expect(post(body)).toEqual({ stored: base64, type: undefined });
    }
    expect(post(new URLSearchParams({ a: '1 ü' }))).toEqual({
      stored: utf8('a=1+%C3%BC'),
      type: 'application/x-www-form-urlencoded;charset=UTF-8',
    });
    expect(post({ a: [1, new Date(0)] })).toEqual({
      stored: utf8('{"a":[1,"1970-01-01T00:00:00.000Z"]}'),
      type: 'application/json',
    });
    for (const body of [0, false, []]) expect(post(body).stored).toEqual(utf8(JSON.stringify(body)));
    for (const body of [undefined, null]) expect(post(body)).toEqual({ stored: null, type: undefined });
  });

  it('leaves the content type that is given', () => {
    const headers = { 'Content-Type': 'application/vnd.api+json' };
    expect(post({}, { headers }).type).toBe('application/vnd.api+json');
  });

  it.each<[string, unknown]>([
    ['needs an object', undefined],
    ['needs an object', 'https://api.example'],
    ['no absolute URL', {}],
    ['no absolute URL', { url: '/charges' }],
    ['no absolute URL', { url: 'http://[::1' }],
    ['of the scheme file:', { url: 'file:///etc/passwd' }],
    ['of the scheme ftp:', { url: new URL('ftp://host/') }],
    ['none of HTTP', { method: 'GET /' }],
    ['none of HTTP', { method: 7 }],
    ['the method CONNECT', { method: 'connect' }],
    ['the method TRACE', { method: 'TRACE' }],
    ['GET takes none', { body: 'x' }],
    ['HEAD takes none', { method: 'HEAD', body: '' }],
    ['no plain object', { headers: new Map([['a', 'b']]) }],
    ['no plain object', { headers: new Headers({ a: 'b' }) }],
    ['no plain object', { headers: null }],
    ['the name "a b"', { headers: { 'a b': 'c' } }],
    ['the name ""', { headers: { '': 'c' } }],
    ['the name "__proto__"', { headers: JSON.parse('{"__proto__":"x"}') as object }],
    ['header "a"', { headers: { a: 'b\r\nc: d' } }],
    ['header "a"', { headers: { a: 'b\0' } }],
    ['header "a"', { headers: { a: '日' } }],
    ['header "a"', { headers: { a: 7 } }],
    ['belongs to the connection', { headers: { 'Content-Length': '7' } }],
    ['belongs to the connection', { headers: { 'transfer-encoding': 'chunked' } }],
    ['"a" twice', { headers: { A: '1', a: '2' } }],
    ['not from 1ms to 12h', { timeout: '0s' }],
    ['not from 1ms to 12h', { timeout: '12.1h' }],
    ['neither true nor false', { throwOnError: 'yes' }],
    ["neither 'follow' nor 'manual'", { redirect: 'error' }],
  ])('refuses what it cannot send: %s', (said, options) => {
    const whole = typeof options === 'object' ? { url: 'https://api.example/', ...options } : options;
    const given = said === 'no absolute URL' ? options : whole;
    expect(() => callRequest('charge', given as CallOptions, defaults)).toThrow(
      expect.objectContaining({
        code: 'WF_INVALID_ARGUMENT',
        message: expect.stringMatching(/^ctx\.call\("charge"\) /) as string,
      }),
    );
    expect(() => callRequest('charge', given as CallOptions, defaults)).toThrow(said);
  });

  it('refuses a body that JSON would lose', () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    const bodies = [
      new Map(),
      new Set(),
      new FormData(),
      new Blob([]),
      new ReadableStream(),
      Promise.resolve(),
    ];
    for (const body of [...bodies, { pipe() {} }, cycle, 1n, () => 1, Symbol('x')]) {
      expect(() => post(body)).toThrow(expect.objectContaining({ code: 'WF_NOT_SERIALIZABLE' }));
    }
  });

  it('names no secret in its errors', () => {
    const told = (options: Partial<CallOptions>): string => {
      try {
        request(options);
      } catch (error) {
        return `${(error as Error).message} ${String((error as Error).cause)}`;
      }
      return 'nothing was thrown';
    };
    for (const options of [
      { url: 'http//ann:secret@host' },
      { url: 'ftp://ann:secret@host' },
      { headers: { authorization: 'secret\n' } },
      { body: 'secret' },
    ]) {
      expect(told(options)).toContain('ctx.call("charge")');
      expect(told(options)).not.toContain('secret');
    }
  });
});
