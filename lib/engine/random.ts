import { createHash } from 'node:crypto';

/**
 * The n-th uuid of an execution: the same seed and n give the same uuid, live and replayed, without a commit.
 * Version 8 of RFC 9562, section 5.8 (122 bits of SHA-256). Unguessable only as far as the seed is.
 * @param seed identifies the execution
 * @param n whole number: how many were asked for before
 */
export function derivedUuid(seed: string, n: number): string {
  const bytes = derive('uuid', seed, n);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80; // version 8
  bytes[8] = (bytes[8]! & 0x3f) | 0x80; // variant 10
  const hex = bytes.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * The n-th random number of an execution, in [0, 1), evenly spread over the multiples of 2^-53 like those of
 * `Math.random()`; the same seed and n give the same number. Not for secrets.
 */
export function derivedRandom(seed: string, n: number): number {
  return Number(derive('random', seed, n).readBigUInt64BE(0) >> 11n) / 2 ** 53;
}

/** The purpose keeps the n-th uuid and the n-th number independent; n comes last, so no two inputs join to one text. */
function derive(purpose: string, seed: string, n: number): Buffer {
  return createHash('sha256').update(`${purpose}:${seed}:${n}`).digest();
}
