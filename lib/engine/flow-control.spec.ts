import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import { checkFlowControl, resolveFlowControl } from './flow-control.js';

const said = (flow: unknown, args?: unknown[]): string => {
  try {
    resolveFlowControl(flow, '"x"', args);
  } catch (error) {
    expect(WorkflowError.is(error, 'WF_INVALID_FLOW_CONTROL')).toBe(true);
    return (error as Error).message;
  }
  throw new Error('it was taken');
};

describe('resolveFlowControl', () => {
  it.each([
    [
      { key: 'k', parallelism: 2 },
      { key: 'k', parallelism: 2, rate: null, periodMs: null },
    ],
    [
      { key: 'k', rate: 5 },
      { key: 'k', parallelism: null, rate: 5, periodMs: 1000 },
    ],
    [
      { key: 'k', rate: 5, period: '1ms' },
      { key: 'k', parallelism: null, rate: 5, periodMs: 1 },
    ],
    [
      { key: 'k', parallelism: 1, rate: 5, period: '1w' },
      { key: 'k', parallelism: 1, rate: 5, periodMs: 604_800_000 },
    ],
  ])('%j', (flow, resolved) => expect(resolveFlowControl(flow, 'x')).toEqual(resolved));

  it('takes the key from what it is called with', () => {
    const key = (a: string, b: number): string => `${a}-${b}`;
    expect(resolveFlowControl({ key, rate: 1 }, 'x', ['u', 7]).key).toBe('u-7');
    expect(resolveFlowControl({ key: () => 'fixed', rate: 1 }, 'x').key).toBe('fixed');
  });

  it.each([
    [undefined, 'Flow control of "x" is undefined, and no object'],
    [null, 'is null, and no object'],
    ['key', 'is "key", and no object'],
    [{ parallelism: 1 }, 'needs a `key`'],
    [{ key: '', parallelism: 1 }, 'needs a `key`'],
    [{ key: 7, parallelism: 1 }, 'needs a `key`'],
    [{ key: 'k'.repeat(513), parallelism: 1 }, 'more than 512 characters'],
    [{ key: 'a\0b', parallelism: 1 }, 'NUL or half of a character'],
    [{ key: 'a\ud800', parallelism: 1 }, 'NUL or half of a character'],
    [{ key: 'k' }, 'neither `parallelism` nor `rate`'],
    [{ key: 'k', parallelism: 1, period: '1s' }, '`period` and no `rate`'],
    [{ key: 'k', parallelism: 0 }, '`parallelism` of 0'],
    [{ key: 'k', parallelism: 1.5 }, '`parallelism` of 1.5'],
    [{ key: 'k', parallelism: '3' }, '`parallelism` of "3"'],
    [{ key: 'k', parallelism: 2 ** 31 }, '`parallelism` of 2147483648'],
    [{ key: 'k', rate: -1 }, '`rate` of -1'],
    [{ key: 'k', rate: 1n }, '`rate` of'],
    [{ key: 'k', rate: 1, period: '5' }, '`period` of "5"'],
    [{ key: 'k', rate: 1, period: 5 }, '`period` of 5'],
    [{ key: 'k', rate: 1, period: '0s' }, '`period` of "0s"'],
    [{ key: 'k', rate: 1, period: '8d' }, '`period` of "8d"'],
    [{ key: () => '', rate: 1 }, 'needs a `key`'],
    [{ key: () => 3, rate: 1 }, 'needs a `key`'],
  ])('refuses %o', (flow, message) => {
    expect(said(flow)).toContain(message);
  });

  it('keeps what a key function threw', () => {
    const cause = new Error('no tenant');
    const key = (): string => {
      throw cause;
    };
    expect(said({ key, rate: 1 })).toContain('threw: Error: no tenant');
    expect(() => resolveFlowControl({ key, rate: 1 }, 'x')).toThrowError(expect.objectContaining({ cause }));
  });

  it('checks limits before there is a key', () => {
    expect(checkFlowControl({ key: () => 'later', rate: 3, period: '2s' }, 'x')).toEqual({
      parallelism: null,
      rate: 3,
      periodMs: 2000,
    });
  });
});
