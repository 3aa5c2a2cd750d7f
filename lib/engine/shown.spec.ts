import { expect, it } from 'vitest';
import { shown } from './shown.js';

it.each([
  ['a"b', '"a\\"b"'],
  [1n, '1'],
  [undefined, 'undefined'],
  [null, 'null'],
  [Object.create(null), 'an object'],
  [Symbol('s'), 'Symbol(s)'],
])('%o is shown as %s', (value, text) => expect(shown(value)).toBe(text));
