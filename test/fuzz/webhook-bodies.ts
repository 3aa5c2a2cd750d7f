import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { text } from './strange.js';

/** Bodies as strangers send them, of types that fit or do not. */
const charset = fc.oneof(
  fc.constantFrom(
    'utf-8',
    'UTF-16LE',
    'utf-16be',
    'latin1',
    'windows-1252',
    'shift_jis',
    'gb18030',
    'replacement',
    'x-user-defined',
    'none',
    '"utf-8"',
  ),
  text(10),
);
const mime = fc.oneof(
  fc.constantFrom(
    'application/json',
    'text/json',
    'application/ld+json',
    'APPLICATION/JSON',
    'text/plain',
    'text/html',
  ),
  fc.constantFrom(
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=b',
    'application/octet-stream',
    'image/png',
    '',
  ),
  text(20),
);
export const contentType = fc.oneof(
  mime,
  fc.tuple(mime, charset).map(([type, of]) => `${type}; charset=${of}`),
  fc.tuple(mime, text(10)).map(([type, more]) => `${type};${more}`),
);
const depth = (of: number): string => '['.repeat(of) + ']'.repeat(of);
export const jsonText = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.json().map((value) => `{"__proto__":${value},"constructor":{"prototype":${value}},"a":${value}}`),
  fc.constantFrom('1e400', '-0', '"\\ud800"', '"\\u0000"', '{"a":1,"a":2}', 'NaN', '\ufeff{}', '', '{', '"'),
  fc.integer({ min: 1, max: 3000 }).map(depth),
);
export const content = fc.oneof(
  jsonText.map((json) => Buffer.from(json)),
  jsonText.map((json) => Buffer.from(json, 'utf16le')),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  fc.webQueryParameters().map((query) => Buffer.from(query)),
  fc
    .array(fc.tuple(text(5), text(5)))
    .map((pairs) => Buffer.from(pairs.map((pair) => pair.join('=')).join('&'))),
  text(100).map((of) =>
    Buffer.from(`--b\r\nContent-Disposition: form-data; name="${of}"\r\n\r\n${of}\r\n--b--\r\n`),
  ),
  jsonText.map((json) => gzipSync(json)),
);
