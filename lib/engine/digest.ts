import { createHash } from 'node:crypto';

/**
 * Short stable fingerprint of a step's encoded arguments: the first 12 hex digits (48 bits) of their SHA-256.
 * It only has to tell two calls of the same step apart, so that a swapped pair is noticed; it guards nothing.
 */
export function digestOf(encodedArgs: string): string {
  return createHash('sha256').update(encodedArgs).digest('hex').slice(0, 12);
}
