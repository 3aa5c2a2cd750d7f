import { describe, expect, it } from 'vitest';
import { median, percentiles, ratio } from '../../bench/statistics.js';

describe('percentiles', () => {
  it('are values that were measured', () => {
    const values = Array.from({ length: 200 }, (_, i) => 200 - i);
    expect(percentiles(values)).toEqual({ n: 200, mean: 100.5, p50: 100, p90: 180, p99: 198, max: 200 });
  });

  it('of one value are that value, of none nothing', () => {
    expect(percentiles([7])).toEqual({ n: 1, mean: 7, p50: 7, p90: 7, p99: 7, max: 7 });
    expect(percentiles([])).toBeUndefined();
  });

  it('leave what they are given as it is', () => {
    const values = [3, 1, 2];
    percentiles(values);
    expect(values).toEqual([3, 1, 2]);
  });
});

describe('a median', () => {
  it('is the one in the middle, or the mean of the two there', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 2, 100])).toBe(3);
  });

  it('leaves out what was not measured', () => {
    expect(median([undefined, 4, NaN, null, '5'])).toBe(4);
    expect(median([undefined])).toBeUndefined();
  });
});

describe('a ratio', () => {
  it('says how many times better ours is', () => {
    expect(ratio(30_000, 1150, 'higher')).toBe(26.087);
    expect(ratio(5, 17, 'lower')).toBe(3.4);
    expect(ratio(10, 5, 'lower')).toBe(0.5);
  });

  it('of nothing is none', () => {
    expect(ratio(undefined, 1, 'higher')).toBeUndefined();
    expect(ratio(1, undefined, 'lower')).toBeUndefined();
    expect(ratio(1, 0, 'higher')).toBeUndefined();
  });
});
