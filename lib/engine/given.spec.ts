import { expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import { given } from './given.js';

const refused = new WorkflowError('WF_TOO_LARGE', 'It is long');
/** Throws whatever is asked of it. */
const hostile: object = new Proxy(
  {},
  {
    get: () => {
      throw hostile;
    },
    has: () => {
      throw hostile;
    },
  },
);
const thrower = (thrown: unknown) => (): never => {
  throw thrown;
};

it('gives what is read, and lets errors of this library through', () => {
  expect(given('It', () => 7)).toBe(7);
  expect(() => given('It', thrower(refused))).toThrow(refused);
});

it.each([
  ['an error', new TypeError('no')],
  ['a text', 'no'],
  ['what throws when it is looked at', hostile],
])('%s that is thrown becomes the cause', (_what, thrown) => {
  let error: unknown;
  try {
    given('It', thrower(thrown), 'WF_INVALID_OPTIONS');
  } catch (caught) {
    error = caught;
  }
  expect(WorkflowError.is(error, 'WF_INVALID_OPTIONS')).toBe(true);
  expect((error as Error).message).toMatch(/^It cannot be read\. /);
  expect((error as Error).cause === thrown).toBe(true);
});
