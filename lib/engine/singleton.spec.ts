import { describe, expect, it } from 'vitest';
import { checkSingleton, resolveSingleton } from './singleton.js';

describe('resolveSingleton', () => {
  it.each(['queue', 'skip', 'cancel-previous'] as const)('policy %s', (policy) =>
    expect(resolveSingleton({ key: 'k', policy })).toEqual({ key: 'k', policy }),
  );

  it('takes the key from the payload', () => {
    const key = (payload: { id: number }): string => `order-${payload.id}`;
    checkSingleton({ key, policy: 'skip' });
    expect(resolveSingleton({ key, policy: 'skip' }, [{ id: 7 }])).toEqual({
      key: 'order-7',
      policy: 'skip',
    });
  });

  it.each([
    [undefined, 'is undefined'],
    [null, 'is null'],
    ['k', 'is "k"'],
    [{ key: 'k' }, 'policy undefined'],
    [{ key: 'k', policy: 'replace' }, 'policy "replace"'],
    [{ policy: 'skip' }, 'key undefined'],
    [{ key: '', policy: 'skip' }, 'key ""'],
    [{ key: 'a\0', policy: 'skip' }, 'without NUL'],
    [{ key: '\ud800', policy: 'skip' }, 'without NUL'],
    [{ key: 'k'.repeat(513), policy: 'skip' }, '1 to 512'],
    [{ key: () => undefined, policy: 'skip' }, 'key undefined'],
  ])('refuses %o', (given, message) =>
    expect(() => resolveSingleton(given)).toThrowError(
      expect.objectContaining({ code: 'WF_INVALID_ARGUMENT', message: expect.stringContaining(message) }),
    ),
  );

  it('keeps what a key function threw', () => {
    const cause = new Error('no id');
    const key = (): string => {
      throw cause;
    };
    expect(() => resolveSingleton({ key, policy: 'skip' })).toThrowError(expect.objectContaining({ cause }));
  });
});
