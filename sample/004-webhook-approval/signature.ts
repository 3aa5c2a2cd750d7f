import { createHmac, timingSafeEqual } from 'node:crypto';

/** Whether `given` (hex) is the HMAC-SHA256 of these bytes. In constant time: how long it takes must not tell how much was right. */
export function isSignatureOf(bytes: Uint8Array, given: string, secret: string): boolean {
  const expected = createHmac('sha256', secret).update(bytes).digest();
  const signature = Buffer.from(given, 'hex');
  return signature.length === expected.length && timingSafeEqual(signature, expected);
}
