import { describe, expect, it } from 'vitest';
import { LazyMap, LazySet } from './lazy.js';

describe('a lazy set', () => {
  it('is empty before anything is put into it, and may be asked and emptied all the same', () => {
    const set = new LazySet<string>();
    set.delete('a');
    set.clear();
    expect([set.size, set.has('a'), [...set.values()]]).toEqual([0, false, []]);
  });

  it('is a set from then on', () => {
    const set = new LazySet<string>();
    for (const value of ['b', 'a', 'b']) set.add(value);
    expect([set.size, set.has('a'), set.has('c'), [...set.values()]]).toEqual([2, true, false, ['b', 'a']]);
    set.delete('b');
    expect([...set.values()]).toEqual(['a']);
    set.clear();
    expect([set.size, set.has('a')]).toEqual([0, false]);
  });
});

describe('a lazy map', () => {
  it('is empty before anything is put into it, and may be asked and emptied all the same', () => {
    const map = new LazyMap<string, number>();
    map.delete('a');
    map.clear();
    expect([map.size, map.has('a'), map.get('a'), [...map.values()], [...map.entries()]]).toEqual([
      0,
      false,
      undefined,
      [],
      [],
    ]);
  });

  it('is a map from then on', () => {
    const map = new LazyMap<string, number>();
    map.set('b', 1);
    map.set('a', 2);
    map.set('b', 3);
    expect([map.size, map.has('a'), map.has('c'), map.get('b')]).toEqual([2, true, false, 3]);
    expect([...map.entries()]).toEqual([
      ['b', 3],
      ['a', 2],
    ]);
    map.delete('b');
    expect([...map.values()]).toEqual([2]);
    map.clear();
    expect(map.size).toBe(0);
  });
});
