import { createHash, createHmac } from 'node:crypto';
import { KEY } from '../http/support.js';

/** The time of the verifier. */
export const NOW = Date.UTC(2031, 4, 5, 12);

export const b64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const hashOf = (body: Uint8Array): string => createHash('sha256').update(body).digest('base64url');
export const claims = (body: Uint8Array, more: object = {}): Record<string, unknown> => {
  const iat = NOW / 1000;
  return {
    iss: 'nestjs-workflow',
    aud: 'delivery',
    iat,
    exp: iat + 60,
    jti: 'one',
    body: hashOf(body),
    ...more,
  };
};
/** Signed by hand, so that any header and any claim can stand in it. */
export function tokenOf(head: unknown, payload: unknown, key = KEY, hash = 'sha256'): string {
  const content = `${b64(head)}.${b64(payload)}`;
  return `${content}.${createHmac(hash, key).update(content).digest('base64url')}`;
}
