import { describe, expect, it } from 'vitest';
import { orderedUuid } from './ordered-uuid.js';

describe('a uuid in order', () => {
  it('is of version 7 and variant 10, and begins with the time', () => {
    const now = Date.now() + 60_000;
    expect(orderedUuid(now)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(
      parseInt(
        orderedUuid(now + 5)
          .replaceAll('-', '')
          .slice(0, 12),
        16,
      ),
    ).toBe(now + 5);
  });

  it('is greater than the one before, also in one millisecond, and when the clock goes back', () => {
    const now = Date.now() + 120_000;
    const made = Array.from({ length: 20_000 }, (_, i) => orderedUuid(i === 10_000 ? now - 5000 : now));
    expect(made).toEqual(made.toSorted());
    expect(new Set(made).size).toBe(made.length);
  });
});
