import { isUtf8 } from 'node:buffer';
import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';
import { isRecord } from './protocol.js';

const ALGORITHM = 'HS256';
/** The first part of every token made here; `{"alg":"HS256"}`. */
const HEADER = Buffer.from(JSON.stringify({ alg: ALGORITHM })).toString('base64url');
/** Three parts of base64url without padding, none of them empty: nothing that a decoder would have to overlook. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Why a token is none of ours. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
}

/**
 * A JSON Web Token in compact form (RFC 7515, 7519), signed with HMAC-SHA256. Our own lines, because the libraries for it go
 * through WebCrypto, whose thread pool costs more than the HTTP exchange that is signed (ADR 19); `jose` judges them in the tests.
 */
export function makeToken(claims: Readonly<Record<string, unknown>>, key: KeyObject): string {
  const signed = `${HEADER}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  return `${signed}.${signatureOf(signed, key)}`;
}

/**
 * The claims of a token that one of these keys has signed; what they say is for the caller to check. Nothing in a token chooses
 * how it is checked: its header may only agree.
 * @throws TokenError
 */
export function openToken(token: string, keys: readonly KeyObject[]): Record<string, unknown> {
  if (!COMPACT.test(token)) throw new TokenError('its signature is not a signed token');
  const first = token.indexOf('.');
  const last = token.lastIndexOf('.');
  assertHeader(token.slice(0, first));
  const signed = token.slice(0, last);
  const signature = token.slice(last + 1);
  // texts are compared, not bytes: the last character of base64url has bits that decode to nothing
  if (!keys.some((key) => equalInConstantTime(signature, signatureOf(signed, key)))) {
    throw new TokenError('its signature was made with another key, or altered');
  }
  const claims = decode(token.slice(first + 1, last));
  if (!claims) throw new TokenError('its signature is not a signed token');
  return claims;
}

/** Takes the same time for all texts of one length. */
export function equalInConstantTime(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

const signatureOf = (signed: string, key: KeyObject): string =>
  createHmac('sha256', key).update(signed).digest('base64url');

/** Another one than ours is that of another library, such as one with `typ`. Extensions that must be understood are none here. */
function assertHeader(part: string): void {
  if (part === HEADER) return;
  const header = decode(part);
  if (!header || typeof header['alg'] !== 'string' || header['alg'] === '' || Object.hasOwn(header, 'crit')) {
    throw new TokenError('its signature is not a signed token');
  }
  if (header['alg'] !== ALGORITHM) throw new TokenError(`its signature is not ${ALGORITHM}`);
}

/** The JSON object of a part, or undefined when it is none. */
function decode(part: string): Record<string, unknown> | undefined {
  const bytes = Buffer.from(part, 'base64url');
  if (!isUtf8(bytes)) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
