import { expect, it } from 'vitest';
import { digestOf } from './digest.js';

it('is the start of the SHA-256, and never changes: it is stored', () => {
  expect(digestOf('')).toBe('e3b0c44298fc');
  expect(digestOf('[1]')).toMatch(/^[0-9a-f]{12}$/);
  expect(digestOf('["ü"]')).toBe(digestOf('["ü"]'));
  expect(digestOf('[1]')).not.toBe(digestOf('[2]'));
});
