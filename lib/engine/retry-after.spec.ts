import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRetryAfter, retryAfterOf } from './retry-after.js';

const DAY_MS = 86_400_000;
const now = Date.parse('2026-03-01T12:00:00Z');

describe('parseRetryAfter', () => {
  it.each<[string, number]>([
    ['120', 120_000],
    [' 0 ', 0],
    ['1.5', 1500],
    ['999999999', DAY_MS],
    ['Sun, 01 Mar 2026 12:00:30 GMT', 30_000],
    ['Sunday, 01-Mar-26 12:00:30 GMT', 30_000],
    ['Sun Mar  1 12:00:30 2026', 30_000],
    ['Sun Mar 01 12:00:30 2026', 30_000],
    ['Sun, 01 Mar 2026 11:59:00 GMT', 0],
    ['Wed, 01 Mar 2096 12:00:00 GMT', DAY_MS],
  ])('%j', (text, ms) => {
    expect(parseRetryAfter(text, now)).toBe(ms);
  });

  it.each([
    '',
    'soon',
    '-1',
    '+1',
    '1e3',
    '0x10',
    '1,5',
    '5 s',
    '10s',
    'Infinity',
    '9'.repeat(16),
    '2026-03-01T12:00:30Z',
    'Mon, 99 Mar 2026 12:00:00 GMT',
    'Sun, 01 Foo 2026 12:00:00 GMT',
    'Sun, 01 Mar 2026 12:00:00 CET',
  ])('%j counts as absent', (text) => {
    expect(parseRetryAfter(text, now)).toBeUndefined();
  });

  it('of any text is a whole number of ms up to a day, or nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.double().map(String), fc.date().map(String)),
        fc.date({ noInvalidDate: true }),
        (text, at) => {
          const ms = parseRetryAfter(text, at.getTime());
          if (ms !== undefined) expect(Number.isInteger(ms) && ms >= 0 && ms <= DAY_MS).toBe(true);
        },
      ),
    );
  });

  it('of every HTTP date ahead is the time until then', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: DAY_MS / 1000 }), (seconds) => {
        expect(parseRetryAfter(new Date(now + seconds * 1000).toUTCString(), now)).toBe(seconds * 1000);
      }),
    );
  });
});

describe('retryAfterOf', () => {
  const error = (properties: object): Error => Object.assign(new Error('busy'), properties);
  const axiosLike = (status: unknown, headers: unknown): Error => error({ response: { status, headers } });

  it.each<[string, unknown]>([
    ['axios: a record, lower case', axiosLike(429, { 'retry-after': '7' })],
    ['a record as a server spelled it', axiosLike(503, { date: 'x', 'RETRY-After': '7' })],
    ['a number', axiosLike(429, { 'retry-after': 7 })],
    ['a list of values', axiosLike(429, { 'retry-after': ['7', '9'] })],
    ['got: statusCode', error({ response: { statusCode: 503, headers: { 'retry-after': '7' } } })],
    ['Headers', axiosLike(429, new Headers({ 'Retry-After': '7' }))],
    ['a Map', axiosLike(429, new Map([['Retry-After', '7']]))],
    ['a Map, lower case', error({ status: 429, headers: new Map([['retry-after', 7]]) })],
    [
      'openai: headers beside the status',
      error({ status: 429, headers: new Headers({ 'retry-after': '7' }) }),
    ],
    ['undici', error({ statusCode: 429, headers: { 'retry-after': '7' } })],
    ['a thrown Response', new Response(null, { status: 429, headers: { 'retry-after': '7' } })],
    [
      'a response whose status the error says',
      error({ status: 429, response: { headers: { 'retry-after': '7' } } }),
    ],
    ['headers without any status', error({ headers: { 'retry-after': '7' } })],
    ['a status that is none', error({ status: 'busy', headers: { 'retry-after': '7' } })],
    [
      'a response without the header, an error with it',
      error({ status: 429, response: { headers: {} }, headers: { 'retry-after': '7' } }),
    ],
    [
      'an HttpException, whose response is its body',
      error({ status: 429, response: 'busy', headers: { 'retry-after': '7' } }),
    ],
    [
      'a record whose `get` throws',
      axiosLike(429, {
        get: () => {
          throw new Error('no');
        },
        'retry-after': '7',
      }),
    ],
    ['an error of another realm', runInNewContext(`({ status: 429, headers: { 'retry-after': '7' } })`)],
  ])('%s', (_what, thrown) => {
    expect(retryAfterOf(thrown, now)).toBe(7000);
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['a text', 'busy'],
    ['an error', new Error('x')],
    ['a status for which the header means something else', axiosLike(301, { 'retry-after': '7' })],
    ['a server error', axiosLike(500, { 'retry-after': '7' })],
    ['headers that are a text', axiosLike(429, 'retry-after: 7')],
    ['headers that are null', axiosLike(429, null)],
    ['no such header', axiosLike(429, new Headers())],
    ['garbage', axiosLike(429, { 'retry-after': 'later' })],
    ['an object', axiosLike(429, { 'retry-after': { seconds: 7 } })],
    ['an empty list', axiosLike(429, { 'retry-after': [] })],
    [
      'a Proxy that does not want to be looked at',
      axiosLike(
        429,
        new Proxy(
          {},
          {
            ownKeys: () => {
              throw new Error('no');
            },
          },
        ),
      ),
    ],
    [
      'a getter that throws',
      {
        get headers() {
          throw new Error('no');
        },
      },
    ],
    [
      'an HttpException of another status',
      error({ status: 410, response: 'gone', headers: { 'retry-after': '7' } }),
    ],
  ])('%s counts as absent', (_what, thrown) => {
    expect(retryAfterOf(thrown, now)).toBeUndefined();
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (headers, status) => {
        retryAfterOf({ response: { headers, status } }, now);
        retryAfterOf({ headers, status, response: headers }, now);
        retryAfterOf(headers, now);
      }),
    );
  });
});
