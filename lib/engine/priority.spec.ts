import { expect, it } from 'vitest';
import { resolvePriority } from './priority.js';

it.each([
  [undefined, 0],
  [0, 0],
  [-0, 0],
  [-10, -10],
  [10, 10],
  [3, 3],
])('priority %j is %i', (given, priority) => expect(resolvePriority(given)).toBe(priority));

it.each([[11], [-11], [0.5], ['1'], [null], [NaN], [Symbol.iterator]])('priority %o is refused', (given) =>
  expect(() => resolvePriority(given)).toThrowError(
    expect.objectContaining({
      code: 'WF_INVALID_ARGUMENT',
      message: expect.stringContaining('smaller first'),
    }),
  ),
);
