import { createHash, createHmac, createSecretKey, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { errors, jwtVerify, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { createSigningKeys, MessageSigner, MessageVerifier } from '../../lib/http/index.js';
import { KEY } from './support.js';

// `jose` is the judge: it made and checked these tokens before the lines of lib/http/token.ts did (ADR 19).

const NEXT = 'the-next-signing-key-that-is-long-enough-too';
const STRANGER = 'the-signing-key-of-somebody-else-altogether';
const NOW = 1_800_000_000;
const body = Buffer.from('{"any":"bytes"}');
const hash = createHash('sha256').update(body).digest('base64url');
const secret = (key: string) => createSecretKey(Buffer.from(key));
const now = (): number => NOW * 1000 + 321;
const keys = createSigningKeys({ signingKey: KEY, nextSigningKey: NEXT });

/** The verdict of jose, with what docs/protocol.md asks of a token: the kind of the message, or why it is refused. */
async function judged(token: string): Promise<string> {
  for (const key of [KEY, NEXT]) {
    try {
      const { payload } = await jwtVerify(token, secret(key), {
        algorithms: ['HS256'],
        issuer: 'nestjs-workflow',
        audience: ['delivery', 'ping'],
        requiredClaims: ['iat', 'exp', 'jti', 'body'],
        maxTokenAge: 60,
        clockTolerance: 5,
        currentDate: new Date(now()),
      });
      const { jti, aud } = payload;
      if (Array.isArray(aud)) return 'claim "aud"';
      if (payload['body'] !== hash) return 'body';
      if (typeof jti !== 'string' || jti === '' || jti.length > 64) return 'claim "jti"';
      return aud!;
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed && key === KEY) continue;
      return reasonOf(error);
    }
  }
  throw new Error('no key');
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === 'iat' && error.reason === 'check_failed' ? 'future' : `claim "${error.claim}"`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'another key';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'not HS256';
  return 'no token';
}

/** Ours, in the same words. */
function verdict(token: string): string {
  try {
    return new MessageVerifier(keys, { now }).verify(token, body);
  } catch (error) {
    const { message } = error as Error;
    expect(error).toMatchObject({ code: 'WF_UNSIGNED' });
    if (message.includes('expired')) return 'expired';
    if (message.includes('in the future')) return 'future';
    if (message.includes('another key')) return 'another key';
    if (message.includes('not HS256')) return 'not HS256';
    if (message.includes('body is not')) return 'body';
    return /claim "\w+"/.exec(message)?.[0] ?? 'no token';
  }
}

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
function tokenOf(header: string, payload: string, key = KEY, hashed = 'sha256'): string {
  const signed = `${header}.${payload}`;
  return `${signed}.${createHmac(hashed, key).update(signed).digest('base64url')}`;
}
const claims = { iss: 'nestjs-workflow', aud: 'delivery', iat: NOW, exp: NOW + 60, jti: 'one', body: hash };

describe('a token of ours', () => {
  it.each(['delivery', 'ping'] as const)('is a standard JWT: jose accepts that of a %s', async (kind) => {
    const token = new MessageSigner(keys, { now }).sign(kind, body);
    expect(await judged(token)).toBe(kind);
    const { payload, protectedHeader } = await jwtVerify(token, secret(KEY), {
      currentDate: new Date(now()),
    });
    expect(protectedHeader).toEqual({ alg: 'HS256' });
    const jti = expect.stringMatching(/^[\w-]{22}$/) as string;
    expect(payload).toEqual({ ...claims, aud: kind, jti });
  });

  it('has an id of its own, 10,000 times', () => {
    const signer = new MessageSigner(keys, { now });
    const idOf = (token: string): unknown =>
      (JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { jti: unknown }).jti;
    const ids = new Set(Array.from({ length: 10_000 }, () => idOf(signer.sign('delivery', body))));
    expect(ids.size).toBe(10_000);
  });
});

describe('a token of jose', () => {
  it.each([
    ['the current key', KEY, 'delivery'],
    ['the next key', NEXT, 'delivery'],
    ['the key of somebody else', STRANGER, 'another key'],
  ])('signed with %s is judged alike', async (_of, key, expected) => {
    const token = await new SignJWT({ ...claims, jti: randomUUID() })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(secret(key));
    expect([verdict(token), await judged(token)]).toEqual([expected, expected]);
  });

  it.each([
    [{}, 'delivery'],
    [{ aud: 'ping' }, 'ping'],
    [{ aud: ['ping'] }, 'claim "aud"'],
    [{ aud: 'webhook' }, 'claim "aud"'],
    [{ iss: 'nobody' }, 'claim "iss"'],
    [{ iat: NOW + 5 }, 'delivery'],
    [{ iat: NOW + 6 }, 'future'],
    [{ iat: NOW - 65 }, 'delivery'],
    [{ iat: NOW - 66 }, 'expired'],
    [{ iat: 'now' }, 'claim "iat"'],
    [{ exp: NOW - 4 }, 'delivery'],
    [{ exp: NOW - 5 }, 'expired'],
    [{ exp: null }, 'claim "exp"'],
    [{ nbf: NOW + 5 }, 'delivery'],
    [{ nbf: NOW + 6 }, 'claim "nbf"'],
    [{ nbf: '0' }, 'claim "nbf"'],
    [{ body: 'x' }, 'body'],
    [{ jti: '' }, 'claim "jti"'],
    [{ sub: 'more', scope: [] }, 'delivery'],
  ])('with %j is judged alike', async (changed, expected) => {
    const token = tokenOf(b64({ alg: 'HS256' }), b64({ ...claims, ...changed }));
    expect([verdict(token), await judged(token)]).toEqual([expected, expected]);
  });
});

describe('any token', () => {
  const time = fc.oneof(fc.integer({ min: NOW - 70, max: NOW + 70 }), fc.constantFrom(null, '1', -1, 1e300));
  const payload = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ ...of(claims), iat: time, exp: time, nbf: time }, { requiredKeys: [] }),
    },
    { weight: 2, arbitrary: fc.record({ ...of(claims), iat: time }) },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
  const header = fc.oneof(
    { weight: 4, arbitrary: fc.constant({ alg: 'HS256' } as unknown) },
    {
      weight: 2,
      arbitrary: fc.record(
        {
          alg: fc.constantFrom('HS256', 'HS512', 'none', 'RS256', '', null, 7),
          typ: fc.string(),
          kid: fc.string(),
        },
        { requiredKeys: [] },
      ),
    },
    { weight: 1, arbitrary: fc.jsonValue() },
  );

  it('is refused by both for the same reason, or accepted by both', async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(header, payload, fc.constantFrom(KEY, NEXT, STRANGER), async (head, set, key) => {
        const token = tokenOf(b64(head), b64(set), key);
        const [ours, theirs] = [verdict(token), await judged(token)];
        expect(ours === 'delivery').toBe(theirs === 'delivery');
        // several things are wrong with most: which one is named may differ among the claims
        const kind = (of: string): string => (/^(claim|expired|future|body)/.test(of) ? 'claims' : of);
        expect(kind(ours)).toBe(kind(theirs));
        seen.add(kind(ours));
      }),
      { numRuns: 3000, seed: 5 },
    );
    expect([...seen].toSorted()).toEqual(['another key', 'claims', 'delivery', 'no token', 'not HS256']);
  });

  it('that jose refuses for its form is refused, whatever is done to the text of a good one', async () => {
    const good = tokenOf(b64({ alg: 'HS256' }), b64(claims));
    const edit = fc.tuple(
      fc.nat(good.length),
      fc.nat(2),
      fc.constantFrom('', '.', '=', '+', '/', ' ', 'A', 'é', '\0'),
    );
    await fc.assert(
      fc.asyncProperty(edit, async ([at, gone, put]) => {
        const token = good.slice(0, at) + put + good.slice(at + gone);
        const theirs = await judged(token);
        // the other way round it may be: of several texts for the same bytes only the shortest is a token of ours
        if (theirs !== 'delivery') expect(verdict(token)).not.toBe('delivery');
        else if (token !== good) expect(verdict(token)).toMatch(/no token|another key/);
      }),
      { numRuns: 3000, seed: 5 },
    );
  });

  it.each([
    ['an extension that must be understood', { alg: 'HS256', crit: ['b64'], b64: true }],
    ['a payload that is not encoded', { alg: 'HS256', crit: ['b64'], b64: false }],
    ['nothing critical', { alg: 'HS256', crit: [] }],
  ])('whose header has %s is refused', (_what, head) => {
    expect(verdict(tokenOf(b64(head), b64(claims)))).toBe('no token');
  });

  it('whose claim of the body is a text of the right length in characters, and not in bytes, is refused', async () => {
    const token = tokenOf(b64({ alg: 'HS256' }), b64({ ...claims, body: 'é'.repeat(hash.length) }));
    expect([verdict(token), await judged(token)]).toEqual(['body', 'body']);
  });

  it('with bytes that are no text in UTF-8, or no JSON, is refused', async () => {
    for (const bytes of [Buffer.from([0x7b, 0xff, 0x7d]), Buffer.from('{"iss":'), Buffer.from('\ufeff{}')]) {
      const part = bytes.toString('base64url');
      expect(verdict(tokenOf(b64({ alg: 'HS256' }), part))).not.toBe('delivery');
      expect(verdict(tokenOf(part, b64(claims)))).not.toBe('delivery');
      expect(await judged(tokenOf(part, b64(claims)))).not.toBe('delivery');
    }
  });
});

/** Each claim as it is right, mostly. */
function of(right: Record<string, unknown>): Record<string, fc.Arbitrary<unknown>> {
  return Object.fromEntries(
    Object.entries(right).map(([name, value]) => [
      name,
      fc.oneof({ weight: 12, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.jsonValue() }),
    ]),
  );
}
