import { createHash, createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { SignJWT, UnsecuredJWT } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSigningKeys, MessageSigner, MessageVerifier } from '../../lib/http/index.js';
import { SeenTokens } from '../../lib/http/seen-tokens.js';
import { KEY, keys } from './support.js';

const OTHER = 'another-signing-key-that-is-long-enough-too';
const body = Buffer.from('{"any":"bytes"}');
const hash = createHash('sha256').update(body).digest('base64url');
let clock = 1_800_000_000_000;
const now = (): number => clock;
const seconds = (): number => Math.floor(clock / 1000);
const signer = new MessageSigner(keys(), { now });
let verifier: MessageVerifier;

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = (changed: Record<string, unknown> = {}): Record<string, unknown> => ({
  iss: 'nestjs-workflow',
  aud: 'delivery',
  iat: seconds(),
  exp: seconds() + 60,
  jti: randomUUID(),
  body: hash,
  ...changed,
});
/** A token made by hand, with whatever header. */
function handmade(header: unknown, payload: unknown, key = KEY): string {
  const signed = `${b64(header)}.${b64(payload)}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}
/** Why the signature is refused. */
function refusalOf(token: string | undefined, bytes = body): string {
  const error = errorOf(token, bytes);
  expect(error).toMatchObject({ code: 'WF_UNSIGNED' });
  return error.message;
}
function errorOf(token: string | undefined, bytes = body): Error {
  try {
    verifier.verify(token, bytes);
  } catch (error) {
    return error as Error;
  }
  return new Error('was accepted');
}

beforeEach(() => {
  clock = 1_800_000_000_000;
  verifier = new MessageVerifier(keys(), { now });
});

describe('a signature', () => {
  it.each(['delivery', 'ping'] as const)('tells a genuine %s', (kind) => {
    expect(verifier.verify(signer.sign(kind, body), body)).toBe(kind);
  });

  it('has the claims of docs/protocol.md', () => {
    const [header, payload] = signer
      .sign('ping', body)
      .split('.')
      .map((part) => {
        return Buffer.from(part, 'base64url').toString();
      });
    expect(header).toBe('{"alg":"HS256"}');
    expect(JSON.parse(payload!)).toEqual(
      claims({ aud: 'ping', jti: expect.stringMatching(/^[\w-]{22}$/) as string, body: hash }),
    );
  });

  it('is also accepted when made without this library', () => {
    expect(verifier.verify(handmade({ alg: 'HS256', typ: 'JWT' }, claims()), body)).toBe('delivery');
  });

  it('is refused when absent or no token', () => {
    expect(refusalOf(undefined)).toMatch(/carries no signature/);
    expect(refusalOf('')).toMatch(/carries no signature/);
    expect(refusalOf('hello')).toMatch(/not a signed token/);
    expect(refusalOf('a.b.c')).toMatch(/not a signed token/);
    expect(refusalOf('..')).toMatch(/not a signed token/);
  });

  it('is refused over another body', () => {
    const token = signer.sign('delivery', body);
    expect(refusalOf(token, Buffer.from('{"any":"bytes" }'))).toMatch(/body is not the one/);
    expect(refusalOf(token, Buffer.alloc(0))).toMatch(/body is not the one/);
  });

  it('is refused with any byte altered', () => {
    const token = signer.sign('delivery', body);
    for (let i = 0; i < token.length; i++) {
      // the last character of a base64url text has bits that decode to nothing
      if (token[i] === '.' || i === token.length - 1) continue;
      const altered = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1);
      expect(refusalOf(altered)).toMatch(/refused/);
    }
    expect(verifier.verify(token, body)).toBe('delivery');
  });

  it('is refused with the payload of another one', () => {
    const [header, , signature] = signer.sign('delivery', body).split('.');
    expect(refusalOf(`${header}.${b64(claims({ jti: 'mine' }))}.${signature}`)).toMatch(
      /another key, or altered/,
    );
  });

  it('is good for 60 s and a tolerance of 5 s for the clocks', () => {
    const [a, b] = [signer.sign('delivery', body), signer.sign('delivery', body)];
    clock += 64_000;
    expect(verifier.verify(a, body)).toBe('delivery');
    clock += 2_000;
    expect(refusalOf(b)).toMatch(/expired/);
  });

  it('may come from a clock that is 5 s ahead, not further', () => {
    clock += 5_000;
    const near = signer.sign('delivery', body);
    clock += 2_000;
    const far = signer.sign('delivery', body);
    clock -= 7_000;
    expect(verifier.verify(near, body)).toBe('delivery');
    expect(refusalOf(far)).toMatch(/signed in the future/);
  });

  it('is not good for longer when the sender says so', () => {
    const token = handmade({ alg: 'HS256' }, claims({ exp: seconds() + 3600 }));
    clock += 66_000;
    expect(refusalOf(token)).toMatch(/expired/);
  });

  it('is refused with another key, without saying what the key is', () => {
    const token = handmade({ alg: 'HS256' }, claims(), OTHER);
    expect(refusalOf(token)).toMatch(/another key/);
    expect(inspect(errorOf(token), { depth: 10 })).not.toContain(KEY);
  });

  it.each(['none', 'None', 'HS384', 'HS512', 'RS256', 'ES256', 'dir', '', null])(
    'is refused with alg %j',
    (alg) => {
      expect(refusalOf(handmade({ alg }, claims()))).toMatch(/not HS256|not a signed token/);
      expect(refusalOf(handmade({ alg }, claims()).replace(/[^.]+$/, ''))).toMatch(/refused/);
    },
  );

  it('is refused when unsecured', () => {
    const token = new UnsecuredJWT(claims({ exp: seconds() + 60 })).encode();
    expect(refusalOf(token)).toMatch(/refused/);
  });

  it('is refused in the confusion of RS256 and HS256, both ways', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const rs = await new SignJWT(claims()).setProtectedHeader({ alg: 'RS256' }).sign(privateKey);
    expect(refusalOf(rs)).toMatch(/not HS256/);
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    expect(refusalOf(handmade({ alg: 'HS256' }, claims(), pem))).toMatch(/another key/);
    expect(refusalOf(handmade({ alg: 'RS256' }, claims()))).toMatch(/not HS256/);
  });

  it('is refused with a critical header that nobody knows, or keys of its own', () => {
    expect(refusalOf(handmade({ alg: 'HS256', crit: ['x'], x: 1 }, claims()))).toMatch(/refused/);
    expect(refusalOf(handmade({ alg: 'HS256', b64: false, crit: ['b64'] }, claims()))).toMatch(/refused/);
    const jwk = { kty: 'oct', k: Buffer.from(OTHER).toString('base64url') };
    expect(refusalOf(handmade({ alg: 'HS256', jwk }, claims(), OTHER))).toMatch(/another key/);
  });

  it.each([
    ['iss', 'somebody'],
    ['iss', undefined],
    ['aud', 'webhook'],
    ['aud', ['delivery', 'ping']],
    ['aud', undefined],
    ['iat', undefined],
    ['iat', 'now'],
    ['exp', undefined],
    ['exp', '2030'],
    ['jti', undefined],
    ['jti', 7],
    ['jti', ''],
    ['jti', 'x'.repeat(65)],
    ['body', undefined],
    ['body', 7],
    ['body', ''],
    ['body', hash.slice(0, -1)],
    ['body', `${hash}=`],
  ])('is refused with claim %s = %j', (name, value) => {
    expect(refusalOf(handmade({ alg: 'HS256' }, claims({ [name]: value })))).toMatch(/refused/);
  });

  it('is refused when the payload is no object', () => {
    for (const payload of [null, [], 'text', 7])
      expect(refusalOf(handmade({ alg: 'HS256' }, payload))).toMatch(/refused/);
  });
});

describe('a replay', () => {
  it('is refused', () => {
    const token = signer.sign('delivery', body);
    expect(verifier.verify(token, body)).toBe('delivery');
    expect(refusalOf(token)).toMatch(/used before/);
    expect(refusalOf(token)).toMatch(/used before/);
  });

  it('is refused as long as the signature is good', () => {
    const token = signer.sign('delivery', body);
    verifier.verify(token, body);
    for (let i = 0; i < 16; i++) {
      clock += 4_000;
      verifier.verify(signer.sign('delivery', body), body);
      expect(refusalOf(token)).toMatch(/used before/);
    }
  });

  it('is remembered in bounded memory', () => {
    const seen = new SeenTokens(70_000, 100);
    for (let i = 0; i < 10_000; i++) expect(seen.add(String(i), i)).toBe(true);
    expect(seen.size).toBeLessThanOrEqual(200);
    expect(seen.add('9999', 10_000)).toBe(false);
    expect(seen.add('0', 10_000)).toBe(true);
  });

  it('is forgotten once it has expired', () => {
    const seen = new SeenTokens(70_000);
    seen.add('a', 0);
    expect(seen.add('b', 70_000)).toBe(true);
    expect(seen.add('a', 100_000)).toBe(false);
    seen.add('c', 140_000);
    expect(seen.add('a', 140_001)).toBe(true);
  });
});

describe('keys', () => {
  it('rotate: both are accepted, the current one signs', () => {
    const old = createSigningKeys({ signingKey: KEY });
    const during = createSigningKeys({ signingKey: KEY, nextSigningKey: OTHER });
    const after = createSigningKeys({ signingKey: OTHER });
    const pass = (from: typeof old, to: typeof old): unknown =>
      new MessageVerifier(to, { now }).verify(new MessageSigner(from, { now }).sign('ping', body), body);
    expect(pass(old, during)).toBe('ping');
    expect(pass(during, old)).toBe('ping');
    expect(pass(after, during)).toBe('ping');
    expect(() => pass(old, after)).toThrow(/WF_UNSIGNED/);
    expect(() => pass(after, old)).toThrow(/WF_UNSIGNED/);
  });

  it('are random per process when none is configured', () => {
    const [a, b] = [createSigningKeys(), createSigningKeys({})];
    expect(a.generated).toBe(true);
    const token = new MessageSigner(a).sign('ping', body);
    expect(new MessageVerifier(a).verify(token, body)).toBe('ping');
    expect(() => new MessageVerifier(b).verify(token, body)).toThrow(/WF_UNSIGNED/);
  });

  it('are needed when a URL is configured', () => {
    expect(() => createSigningKeys({ url: 'https://app.example' })).toThrow(/WF_SIGNING_KEY_MISSING/);
    expect(createSigningKeys({ url: 'https://app.example', signingKey: KEY }).generated).toBe(false);
  });

  it('are refused when short, without being shown', () => {
    const short = 'short-and-secret';
    for (const options of [
      { signingKey: short },
      { signingKey: KEY, nextSigningKey: short },
      { signingKey: '' },
    ]) {
      expect(() => createSigningKeys(options)).toThrow(/at least 32.*WF_INVALID_OPTIONS/);
      expect(() => createSigningKeys(options)).not.toThrow(new RegExp(short));
    }
    expect(() => createSigningKeys({ nextSigningKey: KEY })).toThrow(/WF_INVALID_OPTIONS/);
    expect(() => createSigningKeys({ signingKey: 7 as unknown as string })).toThrow(/WF_INVALID_OPTIONS/);
  });

  it('do not show in a log', () => {
    const held = createSigningKeys({ signingKey: KEY, nextSigningKey: OTHER });
    expect(inspect(held, { depth: 10, showHidden: true }) + JSON.stringify(held)).not.toMatch(/signing-key/);
  });
});
