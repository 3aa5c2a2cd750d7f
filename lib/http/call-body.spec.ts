import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { bodyOf, BodyTooLarge, decodeBody, readBody, wireLimit } from './call-body.js';

describe('bodyOf', () => {
  it.each([
    ['application/json', '{"a":[1,null]}', { a: [1, null] }],
    ['Application/JSON; charset=utf-8', '"x"', 'x'],
    ['application/problem+json', '{}', {}],
    ['text/json', '0', 0],
    ['application/json', 'no json', 'no json'],
    ['application/json', '{"__proto__":{"admin":true}}', '{"__proto__":{"admin":true}}'],
    ['application/json', '\ufeff{"bom":1}', { bom: 1 }],
    ['application/json', '', undefined],
    ['text/plain', 'x', 'x'],
    ['text/html', '', ''],
    ['application/x-www-form-urlencoded', 'a=1', 'a=1'],
    ['application/xml', '<a/>', '<a/>'],
    ['image/svg+xml', '<svg/>', '<svg/>'],
    ['application/octet-stream', 'x', Buffer.from('x')],
    ['application/octet-stream', '', undefined],
    ['application/jsonp', '{}', Buffer.from('{}')],
    [undefined, 'x', Buffer.from('x')],
    [undefined, '', undefined],
  ])('%s with %j', (type, text, expected) => {
    expect(bodyOf(Buffer.from(text), type)).toEqual(expected);
  });

  it('reads the charset that the type names, and UTF-8 for one that nobody knows', () => {
    expect(bodyOf(Buffer.from([0xe9]), 'text/plain; charset=iso-8859-1')).toBe('é');
    expect(bodyOf(Buffer.from([0xe9]), 'text/plain;x=y; charset="windows-1252"')).toBe('é');
    expect(bodyOf(Buffer.from('é'), 'text/plain; charset=klingon')).toBe('é');
    expect(bodyOf(Buffer.from([0xff]), 'text/plain')).toBe('\ufffd');
  });

  it('leaves JSON as text that is nested deeper than a journal keeps', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(bodyOf(Buffer.from(nested(800)), 'application/json')).toEqual(expect.any(Array));
    const deep = nested(400_000);
    expect(bodyOf(Buffer.from(deep), 'application/json')).toBe(deep);
  });
});

describe('readBody', () => {
  it('gives all, or destroys the source at the first byte beyond', async () => {
    const of = (...chunks: string[]): Readable => Readable.from(chunks.map((one) => Buffer.from(one)));
    expect((await readBody(of('ab', 'cd'), 4)).toString()).toBe('abcd');
    expect((await readBody(of(), 0)).length).toBe(0);
    const long = of('ab', 'cd', 'ef');
    await expect(readBody(long, 3)).rejects.toThrow(BodyTooLarge);
    expect(long.destroyed).toBe(true);
  });
});

describe('decodeBody', () => {
  it('leaves alone what has no encoding, none that is known, or too many', async () => {
    const bytes = Buffer.from('x');
    for (const encoding of [undefined, 'identity', 'zstd', 'gzip, zip', 'gzip,gzip,gzip,gzip']) {
      const headers: Record<string, string> = encoding === undefined ? {} : { 'content-encoding': encoding };
      expect(await decodeBody(bytes, headers, 10)).toEqual({ bytes, headers });
      await expect(decodeBody(bytes, headers, 0)).rejects.toThrow(BodyTooLarge);
    }
    const empty = { bytes: Buffer.alloc(0), headers: { 'content-encoding': 'gzip' } };
    expect(await decodeBody(empty.bytes, empty.headers, 10)).toEqual(empty);
  });

  it('allows the wire a little more than the body, where it is encoded', () => {
    expect(wireLimit({}, 6400)).toBe(6400);
    expect(wireLimit({ 'content-encoding': 'gzip' }, 6400)).toBe(6400 + 100 + 1024);
  });
});
