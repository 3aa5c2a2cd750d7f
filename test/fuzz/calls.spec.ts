import fc from 'fast-check';
import { expect } from 'vitest';
import { callRequest, type CallOptions } from '../../lib/authoring/call.js';
import { DEFAULT_RETRY } from '../../lib/engine/retry.js';
import { AddressGuard } from '../../lib/http/index.js';
import { Cases, givesOrRefuses } from './support.js';
import { anything, mostly, strangeRecord, text } from './strange.js';

const cases = new Cases('calls');
const duration = fc.constantFrom<unknown>('0ms', '1s', '2h', '13h');

cases.property(
  'addresses that calls may reach',
  1000,
  fc.tuple(
    fc.array(
      mostly(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain(), fc.constantFrom('10.0.0.0/8', '::/0', '0x7f.1'))),
    ),
    fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      text(),
      fc.constantFrom('127.0.0.1', '::1', '::ffff:127.0.0.1', '169.254.169.254'),
    ),
  ),
  async ([entries, address]) => {
    const list = entries as string[];
    const allowing = await givesOrRefuses(() => new AddressGuard({ allow: list }));
    expect(typeof (allowing?.permits(address, address) ?? false)).toBe('boolean');
    const denying = await givesOrRefuses(() => new AddressGuard({ deny: list }));
    // what is denied by default no entry of `deny` lets through
    if (/^(127\.|::1$|::ffff:127|169\.254|10\.)/.test(address))
      expect(denying?.permits(address, address) ?? false).toBe(false);
  },
);

const request = strangeRecord({
  url: fc.oneof(
    fc.webUrl(),
    fc.constantFrom('file:///etc/passwd', 'javascript:1', 'http://', '//x', 'http://a\r\nb/'),
  ),
  method: fc.constantFrom(
    'GET',
    'post',
    'PUT',
    'CONNECT',
    'TRACE',
    'GET / HTTP/1.1\r\nX: y',
    'G E T',
    'QUERY',
  ),
  headers: fc.dictionary(
    fc.oneof(
      fc.constantFrom('x-a', 'X-A', 'Content-Type', 'host', 'Transfer-Encoding', 'x\r\ny', '__proto__', 'é'),
      text(8),
    ),
    mostly(fc.oneof(fc.string(), fc.constantFrom('a\r\nX-Injected: 1', 'a\0', 'é', '漢', ' '))),
    { maxKeys: 4 },
  ),
  body: anything,
  timeout: duration,
  throwOnError: fc.boolean(),
  redirect: fc.constantFrom('follow', 'manual'),
});

cases.property('requests of ctx.call', 1000, request, async (options) => {
  const checked = await givesOrRefuses(() =>
    callRequest('it', options as CallOptions, { retry: DEFAULT_RETRY, timeoutMs: 1000 }),
  );
  if (!checked) return;
  expect(new URL(checked.url).protocol).toMatch(/^https?:$/);
  expect(checked.method).toMatch(/^[A-Z0-9!#$%&'*+.^_`|~-]+$/);
  for (const [name, value] of Object.entries(checked.headers)) {
    expect(name).toMatch(/^[a-z0-9!#$%&'*+.^_`|~-]+$/);
    expect(value).not.toMatch(/[\r\n\0]/);
  }
  // it is stored as JSON, and comes back as it was
  expect(JSON.parse(JSON.stringify(checked))).toEqual(checked);
});
