import { describe, expect, it } from 'vitest';
import { Journal } from './journal.js';
import { isPatched, PATCH_PREFIX, passedOver, patchRow, withNext } from './patch.js';

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

  it('remembers what was asked for next, whatever it is called', () => {
    const mark = withNext(withNext(patchRow(`${PATCH_PREFIX}new`, 3, 7, 1000), 'a'), 'pay 2\nthings#2');
    expect([2, 3].map((occurrence) => isPatched(mark, occurrence))).toEqual([false, true]);
    expect(passedOver([mark], '', (key) => key === 'pay 2\nthings#2')).toBeUndefined();
    expect(passedOver([mark], '', () => false)).toBe(mark);
  });

  it('is passed over by code that neither calls for it nor goes its way', () => {
    const alone = patchRow(`${PATCH_PREFIX}alone`, 1, 2, 1000);
    const mark = withNext(patchRow(`${PATCH_PREFIX}new`, 1, 3, 1000), 'pay');
    const journal = new Journal();
    journal.merge([alone, { ...alone, key: 'step', kind: 'step' }, mark], []);
    const over = (prefix: string, ...known: string[]): unknown =>
      passedOver(journal.patches, prefix, (key) => known.includes(key));
    expect(over('')).toBe(mark);
    expect(over('', mark.key)).toBeUndefined();
    expect(over('', 'pay')).toBeUndefined();
    // those of another phase are for the code of that one
    expect(over('onFailure/')).toBeUndefined();
  });
});
