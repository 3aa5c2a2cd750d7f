import { describe, expect, it } from 'vitest';
import { checkVersion, compareVersions, queueOf, takeoversFor, versionName } from './version.js';

describe('versions', () => {
  it('have a queue each; a workflow without one has that of its name', () => {
    expect(queueOf('order', null)).toBe('order');
    expect(queueOf('order', '2')).toBe('order@2');
  });

  it('go from none over small to great numbers', () => {
    const versions = ['10', null, '2', '1', '10.1', null, '2-beta'];
    expect(versions.toSorted(compareVersions)).toEqual([null, null, '1', '2', '2-beta', '10', '10.1']);
  });

  it.each(['call', 'a@b', '@'])('are not named %s', (version) => {
    expect(() => checkVersion(version, 'order')).toThrow(/"order".*may not be "call", nor hold an "@"/);
  });

  it('are named in messages', () => {
    checkVersion('caller', 'order');
    expect(versionName('order', null)).toBe('"order"');
    expect(versionName('order', '2')).toBe('"order" in version "2"');
  });
});

describe('runs of a version that nobody serves', () => {
  const version = (version: string | null, ...takesOver: (string | null)[]) => ({
    name: 'order',
    version,
    takesOver,
  });

  it('stay where no version takes them over', () => {
    expect(takeoversFor(['order@1'], [version('2')])).toEqual([]);
    expect(takeoversFor([], [version('2', '1')])).toEqual([]);
    expect(takeoversFor(['bill@1'], [version('2', '1')])).toEqual([]);
  });

  it('go to the one that takes them over, also those without a version', () => {
    expect(takeoversFor(['order@1', 'order'], [version('2', '1', null)])).toEqual([
      { queue: 'order@1', workflow: 'order', from: '1', to: '2' },
      { queue: 'order', workflow: 'order', from: null, to: '2' },
      { queue: 'order', workflow: 'order', from: '2', to: '2' },
      { queue: 'order', workflow: 'order', from: '1', to: '1' },
    ]);
  });

  it('get into the queue of their version first, which another process may serve', () => {
    expect(takeoversFor(['order'], [version('1'), version('2', '1')])).toEqual([
      { queue: 'order', workflow: 'order', from: '1', to: '1' },
      { queue: 'order', workflow: 'order', from: '2', to: '2' },
    ]);
  });

  it('go to the newest of several', () => {
    expect(takeoversFor(['order@1'], [version('10', '1'), version('9', '1')])).toEqual([
      { queue: 'order@1', workflow: 'order', from: '1', to: '10' },
    ]);
  });

  it('may go to one without a version', () => {
    expect(takeoversFor(['order@1'], [version(null, '1')])).toEqual([
      { queue: 'order@1', workflow: 'order', from: '1', to: null },
    ]);
  });
});
