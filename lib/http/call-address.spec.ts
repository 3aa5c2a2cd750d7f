import { describe, expect, it } from 'vitest';
import { CallError } from '../engine/call.js';
import { toFailure } from '../engine/failure.js';
import { AddressGuard, type AddressRules, type Lookup } from './call-address.js';

const safe = new AddressGuard();
const words = (...lines: string[]): string[] => lines.flatMap((line) => line.split(' '));
const permits = (address: string, rules: AddressRules = {}, host = address): boolean =>
  new AddressGuard(rules).permits(address, host);

function thrownBy(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('the addresses that are denied by default', () => {
  it.each(
    words(
      '127.0.0.1 127.255.255.254 ::1 0.0.0.0 0.1.2.3 :: 10.0.0.1 172.16.0.1 172.31.255.255',
      '192.168.1.1 fc00::1 fdff::1 fec0::1 169.254.169.254 fe80::1 fe80::1%eth0 100.64.0.1',
      '100.100.100.200 192.0.0.192 224.0.0.1 239.255.255.255 ff02::1 240.0.0.1',
      '255.255.255.255 198.18.0.1 192.0.2.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1',
      '0:0:0:0:0:ffff:a9fe:a9fe 64:ff9b::7f00:1 64:ff9b::169.254.169.254 64:ff9b:1::1',
      '::ffff:0:7f00:1 ::7f00:1 ::127.0.0.1 2002:7f00:1:: 2001:0:7f00:1:: 2001:db8::1',
      '3fff::1 5f00::1 100::1 4000::1',
    ),
  )('%s', (address) => {
    expect(safe.permits(address, address)).toBe(false);
  });

  it.each([
    '93.184.216.34',
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '64:ff9b::808:808',
    '::ffff:8.8.8.8',
  ])('not %s', (address) => {
    expect(safe.permits(address, address)).toBe(true);
  });

  it.each(['', 'localhost', 'nonsense', '1.2.3.4.5', ':::'])('what is no address: %j', (text) => {
    expect(safe.permits(text, text)).toBe(false);
  });
});

describe('every spelling of loopback in a URL', () => {
  it.each(
    words(
      '127.0.0.1 127.1 127.0.1 2130706433 017700000001 0x7f000001 0x7f.1 0177.0.0.1',
      '127.0.0.1. 0x7f.0x0.0x0.0x1 %31%32%37.0.0.1 １２７.0.0.1 0 0.0.0.0 [::1]',
      '[0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1]',
      '[::]',
    ),
  )('%s', (host) => {
    const literal = new URL(`http://${host}/`).hostname.replace(/^\[|\]$/g, '');
    expect(() => safe.checkLiteral(literal)).toThrow(CallError);
  });

  it('an error says which host, and that there is no retry', () => {
    const said = expect.objectContaining({
      message: expect.stringContaining(
        '127.0.0.1 is, or leads to, an address that calls may not reach',
      ) as string,
    });
    expect(() => safe.checkLiteral('127.0.0.1')).toThrow(said);
    expect(toFailure(thrownBy(() => safe.checkLiteral('127.0.0.1')))).toMatchObject({
      code: 'WF_CALL_DENIED',
      retryable: false,
    });
  });

  it('a public address and a name pass: the name is looked at when it is resolved', () => {
    for (const host of ['8.8.8.8', '2606:4700::1111', 'localhost'])
      expect(() => safe.checkLiteral(host)).not.toThrow();
  });
});

describe('rules', () => {
  it('allow exempts ranges, addresses and names from the default', () => {
    expect(permits('10.1.2.3', { allow: ['10.1.0.0/16'] })).toBe(true);
    expect(permits('10.2.2.3', { allow: ['10.1.0.0/16'] })).toBe(false);
    expect(permits('::ffff:10.1.2.3', { allow: ['10.1.0.0/16'] })).toBe(true);
    expect(permits('10.1.2.3', { allow: ['::ffff:10.1.0.0/112'] })).toBe(true);
    expect(permits('fd00::5', { allow: ['fd00::5'] })).toBe(true);
    expect(permits('10.9.9.9', { allow: ['Billing.internal.'] }, 'billing.INTERNAL')).toBe(true);
    expect(permits('10.9.9.9', { allow: ['billing.internal'] }, 'x.billing.internal')).toBe(false);
    expect(permits('10.9.9.9', { allow: ['bücher.internal'] }, 'xn--bcher-kva.internal')).toBe(true);
    expect(permits('127.0.0.1', { allow: ['0.0.0.0/0', '::/0'] })).toBe(true);
    expect(permits('::1', { allow: ['0.0.0.0/0'] })).toBe(false);
  });

  it('deny adds to the default, and wins over allow in every spelling', () => {
    expect(permits('8.8.8.8', { deny: ['8.8.0.0/16'] })).toBe(false);
    expect(permits('64:ff9b::808:808', { deny: ['8.8.0.0/16'] })).toBe(false);
    expect(permits('64:ff9b::808:808', { deny: ['64:ff9b::/96'] })).toBe(false);
    expect(permits('::ffff:8.8.8.8', { deny: ['8.8.8.8'] })).toBe(false);
    expect(
      permits('10.1.2.3', { deny: ['10.1.2.0/24'], allow: ['10.0.0.0/8', 'a.internal'] }, 'a.internal'),
    ).toBe(false);
    expect(permits('10.1.3.3', { deny: ['10.1.2.0/24'], allow: ['10.0.0.0/8'] })).toBe(true);
  });

  it.each([
    ...words(
      '10.0.0.0/33 10.0.0.0/-1 10.0.0.0/ 10.0.0.0/8/8 10.0/8 0x7f.0.0.1 ::/129 fe80::1%eth0 1.2.3.4.5',
    ),
    ...words('http://host host:80 user@host * a,b'),
    '',
    'a b',
    42,
    null,
    {},
  ])('%j is refused', (entry) => {
    const wrong = [entry as string];
    const refused = expect.objectContaining({ code: 'WF_INVALID_OPTIONS' });
    expect(() => new AddressGuard({ deny: wrong })).toThrow(refused);
    expect(() => new AddressGuard({ allow: wrong })).toThrow(refused);
  });

  it('names are for allow only, and both are lists', () => {
    expect(() => new AddressGuard({ deny: ['host.internal'] })).toThrow(
      '`http.calls.deny` has "host.internal"',
    );
    expect(() => new AddressGuard({ allow: '10.0.0.0/8' as never })).toThrow('not a list of texts');
  });
});

describe('the look-up', () => {
  const found =
    (...addresses: string[]): Lookup =>
    (_host, _options, done) =>
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
  const look = (guard: AddressGuard, options: object): Promise<unknown[]> =>
    new Promise((resolve) => guard.lookup('some.example', options, (...answer) => resolve(answer)));

  it('gives only what is permitted, in the order of the resolver', async () => {
    const guard = new AddressGuard({}, found('10.0.0.1', '8.8.8.8', '::1', '2606:4700::1111'));
    expect(await look(guard, { all: true })).toEqual([
      null,
      [
        { address: '8.8.8.8', family: 4 },
        { address: '2606:4700::1111', family: 6 },
      ],
    ]);
    expect(await look(guard, {})).toEqual([null, '8.8.8.8', 4]);
  });

  it('fails when nothing is left, was found, or could be asked', async () => {
    const denied = new AddressGuard({}, found('10.0.0.1', '::1'));
    expect(await look(denied, { all: true })).toEqual([
      expect.objectContaining({ code: 'WF_CALL_DENIED' }),
      [],
    ]);
    expect(await look(new AddressGuard({}, found()), {})).toEqual([
      expect.objectContaining({ code: 'ENOTFOUND' }),
      [],
    ]);
    const down = new AddressGuard({}, (_host, _options, done) => done(new Error('down'), []));
    expect(await look(down, {})).toEqual([expect.objectContaining({ message: 'down' }), []]);
  });
});
