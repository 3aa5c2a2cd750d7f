import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SHARES } from './shares.js';

const HERE = new URL('./', import.meta.url);
const files = readdirSync(HERE).filter((name) => name.endsWith('.spec.ts') && name !== 'total.spec.ts');

it('at least 100,000 cases are made in CI: each file fails when it makes less than its share', () => {
  const shares = files.map(
    (name) => /new Cases\('(\w+)'/.exec(readFileSync(new URL(name, HERE), 'utf8'))?.[1],
  );
  // one file for each share, so that none is counted that nobody makes
  expect(new Set(shares)).toEqual(new Set(Object.keys(SHARES)));
  expect(shares).toHaveLength(Object.keys(SHARES).length);
  expect(Object.values(SHARES).reduce((sum, share) => sum + share, 0)).toBeGreaterThanOrEqual(100_000);
});
