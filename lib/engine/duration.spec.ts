import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration, type Duration } from './duration.js';

describe('parseDuration', () => {
  it.each([
    ['0ms', 0],
    ['30s', 30_000],
    ['1.5h', 5_400_000],
    ['2m', 120_000],
    ['7d', 604_800_000],
    ['1w', 604_800_000],
    ['1.4ms', 1],
  ] as const)('%s is %i ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each([
    ['5'],
    ['-1s'],
    ['1 s'],
    ['s'],
    ['1e3s'],
    ['.5s'],
    ['1y'],
    ['NaNs'],
    ['99999w'],
    [5],
    [undefined],
    [null],
  ])('%j is refused, and named', (text) => {
    expect(() => parseDuration(text as Duration)).toThrowError(
      `${JSON.stringify(text) ?? 'undefined'} is not a duration. Write a number and a unit`,
    );
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0w'],
    [1, '1ms'],
    [1500, '1500ms'],
    [90_000, '90s'],
    [5_400_000, '90m'],
    [86_400_000, '1d'],
    [604_800_000, '1w'],
  ] as const)('%i ms is %s, and comes back', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
    expect(parseDuration(formatDuration(ms))).toBe(ms);
  });
});
