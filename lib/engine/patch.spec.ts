import { describe, expect, it } from 'vitest';
import { Journal } from './journal.js';
import { isPatched, PATCH_PREFIX, patchRow } from './patch.js';

describe('the mark of changed code', () => {
  it('decides for its own call and those after it', () => {
    const mark = patchRow(`${PATCH_PREFIX}new`, 3, 7, 1000);
    expect(mark).toMatchObject({ kind: 'patch', state: 'journaled', position: 7, finishedAt: 1000 });
    expect([1, 2, 3, 4].map((occurrence) => isPatched(mark, occurrence))).toEqual([false, false, true, true]);
    expect(isPatched(undefined, 1)).toBe(false);
  });

  it('has a position, and is neither given to the code nor waited for', () => {
    const journal = new Journal();
    journal.merge([patchRow(`${PATCH_PREFIX}new`, 1, 4, 1000)], []);
    expect(journal.position).toBe(4);
    expect(journal.undelivered).toEqual([]);
    expect(journal.hasUnseen('')).toBe(false);
  });
});
