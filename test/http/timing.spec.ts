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
const verify = vi.spyOn(crypto.subtle, 'verify');

beforeEach(() => {
  compared.length = 0;
  verify.mockClear();
});

describe('comparisons take the same time, however much of it is right', () => {
  it('signatures are compared by WebCrypto, which does so in constant time, for each accepted key', async () => {
    const keys = createSigningKeys({ signingKey: KEY, nextSigningKey: OTHER });
    const verifier = new MessageVerifier(keys);
    const [head, claims, signature] = (await new MessageSigner(keys).sign('delivery', body)).split('.');
    for (let right = 0; right < signature!.length - 1; right++) {
      const wrong = signature![right] === 'A' ? 'B' : 'A';
      const altered = signature!.slice(0, right) + wrong + signature!.slice(right + 1);
      await expect(verifier.verify(`${head}.${claims}.${altered}`, body)).rejects.toThrow(/altered/);
    }
    // both keys each time, whole signatures each time; nothing of ours looks at a part of them
    const calls = verify.mock.calls;
    expect(calls).toHaveLength(2 * (signature!.length - 1));
    expect(new Set(calls.map(([, , given]) => (given as Uint8Array).length))).toEqual(new Set([32]));
    expect(compared).toEqual([]);
  });

  it('hashes of bodies are compared whole, after the signature was found good', async () => {
    const keys = createSigningKeys({ signingKey: KEY });
    const verifier = new MessageVerifier(keys);
    const token = await new MessageSigner(keys).sign('delivery', body);
    for (let i = 0; i < 50; i++) {
      await expect(verifier.verify(token, Buffer.from(`another ${i}`))).rejects.toThrow(/body is not/);
    }
    await expect(verifier.verify(token, body)).resolves.toBe('delivery');
    expect(compared).toHaveLength(51);
    for (const [given, computed] of compared) {
      expect(given.toString()).toBe(hash);
      expect(computed).toHaveLength(hash.length);
    }
    expect(verify).toHaveBeenCalledTimes(51);
  });

  it('the body of a message that is not signed well is not compared at all', async () => {
    const token = await new MessageSigner(createSigningKeys({ signingKey: OTHER })).sign('delivery', body);
    await expect(
      new MessageVerifier(createSigningKeys({ signingKey: KEY })).verify(token, body),
    ).rejects.toThrow(/another key/);
    expect(compared).toEqual([]);
  });
});
