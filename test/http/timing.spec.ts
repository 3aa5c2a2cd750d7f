import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createSigningKeys, MessageSigner, MessageVerifier } from '../../lib/http/index.js';
import { KEY } from './support.js';

// By construction, not by a clock: which function compares, and with what. A statistic over nanoseconds would fail on a busy machine.
const compared = vi.hoisted(() => [] as [Buffer, Buffer][]);
vi.mock('node:crypto', async (original) => {
  const real = await original<typeof import('node:crypto')>();
  const timingSafeEqual = (a: Buffer, b: Buffer): boolean => {
    compared.push([a, b]);
    return real.timingSafeEqual(a, b);
  };
  return { ...real, timingSafeEqual };
});

const OTHER = 'another-signing-key-that-is-long-enough-too';
const body = Buffer.from('{"any":"bytes"}');
const hash = createHash('sha256').update(body).digest('base64url');

beforeEach(() => {
  compared.length = 0;
});

describe('comparisons take the same time, however much of it is right', () => {
  it('signatures are compared whole, with that of each accepted key', () => {
    const keys = createSigningKeys({ signingKey: KEY, nextSigningKey: OTHER });
    const verifier = new MessageVerifier(keys);
    const [head, claims, signature] = new MessageSigner(keys).sign('delivery', body).split('.');
    for (let right = 0; right < signature!.length; right++) {
      const wrong = signature![right] === 'A' ? 'B' : 'A';
      const altered = signature!.slice(0, right) + wrong + signature!.slice(right + 1);
      expect(() => verifier.verify(`${head}.${claims}.${altered}`, body)).toThrow(/altered/);
      // both keys each time, whole signatures each time, and nothing after that
      expect(compared.splice(0).map(([given, computed]) => [given.toString(), computed.length])).toEqual([
        [altered, signature!.length],
        [altered, signature!.length],
      ]);
    }
  });

  it('hashes of bodies are compared whole, after the signature was found good', () => {
    const keys = createSigningKeys({ signingKey: KEY });
    const verifier = new MessageVerifier(keys);
    const token = new MessageSigner(keys).sign('delivery', body);
    const [signature] = token.split('.').slice(-1);
    for (let i = 0; i < 50; i++) {
      expect(() => verifier.verify(token, Buffer.from(`another ${i}`))).toThrow(/body is not/);
    }
    expect(verifier.verify(token, body)).toBe('delivery');
    expect(compared).toHaveLength(2 * 51);
    for (let i = 0; i < compared.length; i += 2) {
      expect(compared[i]!.map(String)).toEqual([signature, signature]);
      const [given, computed] = compared[i + 1]!;
      expect(given.toString()).toBe(hash);
      expect(computed).toHaveLength(hash.length);
    }
  });

  it('the body of a message that is not signed well is not compared at all', () => {
    const token = new MessageSigner(createSigningKeys({ signingKey: OTHER })).sign('delivery', body);
    expect(() => new MessageVerifier(createSigningKeys({ signingKey: KEY })).verify(token, body)).toThrow(
      /another key/,
    );
    expect(compared).toHaveLength(1);
    expect(compared[0]!.map(String)).not.toContain(hash);
  });
});
