import { expect, it } from 'vitest';
import { className, shown, textOf } from './shown.js';

it.each([
  ['a"b', '"a\\"b"'],
  ['x'.repeat(201), `"${'x'.repeat(200)}…"`],
  [1n, '1'],
  [undefined, 'undefined'],
  [null, 'null'],
  [Object.create(null), 'an object'],
  [() => 1, 'a function'],
  [Symbol('s'), 'Symbol(s)'],
])('%o is shown as %s', (value, text) => expect(shown(value)).toBe(text));

it.each([
  [new Error('no'), 'Error: no'],
  ['text', 'text'],
  [Object.create(null), 'something that has no text'],
])('%o was thrown: %s', (thrown, text) => expect(textOf(thrown)).toBe(text));

it('a class is named by its name, whatever that is', () => {
  expect(className(class Order {})).toBe('Order');
  expect(className({ name: Symbol('s') })).toBe('Symbol(s)');
});
