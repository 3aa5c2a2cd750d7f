/** Numbers in [0, 1) from a seed: the same seed, the same numbers (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A value that belongs to these numbers and to no others: what a step gives for them can be told from what another one gives. */
export function mix(...parts: readonly number[]): number {
  let value = 17;
  for (const part of parts) value = (Math.imul(value, 31) + part + 7) % 1_000_003;
  return Math.abs(value);
}
