import { describe, expect, it, vi } from 'vitest';
import { Replay, type Request } from './replay.js';

const step = (name: string, more: Partial<Request> = {}): Request => ({ kind: 'step', name, ...more });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('keys', () => {
  it('are the name, then the name and its occurrence in the order asked', () => {
    const replay = new Replay();
    const keys = ['a', 'b', 'a', 'a'].map((name) => replay.ask(step(name)).key);
    expect(keys).toEqual(['a', 'b', 'a#2', 'a#3']);
    expect(replay.asked).toBe(4);
  });

  it('carry what tells parallel calls of one step apart, also an empty text', () => {
    const replay = new Replay();
    const keys = ['x', 'y', 'x', ''].map((discriminator) => replay.ask(step('a', { discriminator })).key);
    expect(keys).toEqual(['a:x', 'a:y', 'a:x#2', 'a:']);
  });

  it('of the failure handler lie in a space of their own', () => {
    expect(new Replay('onFailure/').ask(step('a')).key).toBe('onFailure/a');
  });
});

describe('answers', () => {
  it('settle the promise of their key', async () => {
    const replay = new Replay();
    const { promise: a } = replay.ask(step('a'));
    const { promise: b } = replay.ask(step('b'));
    replay.deliver('b', { ok: false, error: new Error('no') });
    replay.deliver('a', { ok: true, value: 7 });
    await expect(a).resolves.toBe(7);
    await expect(b).rejects.toThrow('no');
    expect(replay.open()).toEqual([]);
  });

  it('that nobody asked for change nothing', async () => {
    const replay = new Replay();
    const { promise } = replay.ask(step('a'));
    replay.deliver('b', { ok: true, value: 1 });
    replay.deliver('a', { ok: true, value: 2 });
    replay.deliver('a', { ok: true, value: 3 });
    await expect(promise).resolves.toBe(2);
  });

  it('that are not there leave the promise pending: no catch or finally ever sees the engine', async () => {
    const replay = new Replay();
    const seen: string[] = [];
    replay.start(async () => {
      try {
        await replay.ask(step('a')).promise;
      } catch {
        seen.push('catch');
      } finally {
        seen.push('finally');
      }
    });
    await turn();
    expect(seen).toEqual([]);
    expect(replay.outcome).toBeUndefined();
    expect(replay.isOpen('a')).toBe(true);
    expect(replay.find('a')).toMatchObject({ key: 'a', order: 0, request: { kind: 'step', name: 'a' } });
    expect([replay.isOpen('b'), replay.find('b')]).toEqual([false, undefined]);
  });

  it('that reject a promise nobody looks at are no unhandled rejections', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    try {
      const replay = new Replay();
      replay.ask(step('a'));
      replay.deliver('a', { ok: false, error: new Error('abandoned') });
      await turn();
      await turn();
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });
});

describe('the end of the code', () => {
  it('is its value', async () => {
    const replay = new Replay();
    replay.start(async () => 'done');
    await turn();
    expect(replay.outcome).toEqual({ ok: true, value: 'done' });
  });

  it('is what it rejected with or threw synchronously', async () => {
    const rejected = new Replay();
    const thrown = new Replay();
    const error = new Error('no');
    rejected.start(() => Promise.reject(error));
    thrown.start(() => {
      throw error;
    });
    await turn();
    expect(rejected.outcome).toEqual({ ok: false, error });
    expect(thrown.outcome).toEqual({ ok: false, error });
  });

  it('can be asked for by the code, once, which then never goes on', async () => {
    const replay = new Replay();
    let went = false;
    replay.start(async () => {
      await replay.leave({ to: 'cancelled' });
      went = true;
    });
    await turn();
    expect([went, replay.outcome]).toEqual([false, undefined]);
    expect(replay.exit).toEqual({ to: 'cancelled' });
    void replay.leave({ to: 'continued', payload: '1' });
    expect(replay.exit).toEqual({ to: 'cancelled' });
    expect(new Replay().exit).toBeUndefined();
  });
});

it('tells of each ask, of the wish to cancel and of the end', async () => {
  const replay = new Replay();
  const activity = vi.fn();
  replay.ask(step('before anybody listens'));
  replay.onActivity = activity;
  replay.ask(step('a'));
  expect(activity).toHaveBeenCalledTimes(1);
  void replay.leave({ to: 'cancelled' });
  expect(activity).toHaveBeenCalledTimes(2);
  replay.start(async () => 1);
  await turn();
  expect(activity).toHaveBeenCalledTimes(3);
});
