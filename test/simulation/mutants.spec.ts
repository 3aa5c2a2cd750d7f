import { expect, it } from 'vitest';
import { MUTANTS } from './mutants.js';
import { simulate } from './simulate.js';

it.each(MUTANTS.map(({ store, within, rules }) => ({ name: store.name, store, within, rules })))(
  'finds a store that $name',
  async ({ store, within, rules }) => {
    const found = new Set<string>();
    for (let seed = 1; seed <= within && found.size === 0; seed++) {
      for (const { rule } of (await simulate(seed, store)).violations) found.add(rule);
    }
    expect(found.size).toBeGreaterThan(0);
    expect(rules.some((rule) => found.has(rule))).toBe(true);
  },
);
