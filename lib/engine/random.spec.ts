import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { derivedRandom, derivedUuid } from './random.js';

describe('derivedUuid', () => {
  it('is a uuid of version 8, the same for the same seed and count, and never changes: runs in flight replay it', () => {
    expect(derivedUuid('42', 0)).toBe('0cfecd6a-1c59-8e54-9743-85e35d160adc');
    fc.assert(
      fc.property(fc.string(), fc.nat(), (seed, n) => {
        const uuid = derivedUuid(seed, n);
        expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(derivedUuid(seed, n)).toBe(uuid);
        expect(derivedUuid(seed, n + 1)).not.toBe(uuid);
        expect(derivedUuid(`${seed}x`, n)).not.toBe(uuid);
      }),
    );
  });
});

describe('derivedRandom', () => {
  it('is in [0, 1), the same for the same seed and count, and never changes', () => {
    expect(derivedRandom('42', 0)).toBe(0.9959509603044213);
    fc.assert(
      fc.property(fc.string(), fc.nat(), (seed, n) => {
        const number = derivedRandom(seed, n);
        expect(number).toBeGreaterThanOrEqual(0);
        expect(number).toBeLessThan(1);
        expect(Number.isInteger(number * 2 ** 53)).toBe(true);
        expect(derivedRandom(seed, n)).toBe(number);
      }),
    );
  });

  it('is spread evenly', () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let n = 0; n < 10_000; n++) tenths[Math.floor(derivedRandom('seed', n) * 10)]!++;
    // 1000 expected; 150 is five standard deviations
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
