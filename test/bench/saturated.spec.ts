import { describe, expect, it } from 'vitest';
import type { Environment } from '../../bench/environment.js';
import type { Many } from '../../bench/messages.js';
import type { Mode } from '../../bench/peer.types.js';
import { trig } from '../../bench/workloads/callers.js';
import { WORKLOADS } from '../../bench/workloads/index.js';

/** Does each run the moment it is started, and says so only when it is asked. */
function environment(mode: Omit<Mode, 'name'>) {
  const asked: (Many & { backlog: number })[] = [];
  const env = {
    mode: { name: 'any', ...mode },
    done: 0,
    begun: async () => {},
    begin: async () => {},
    durable: async () => undefined,
    end: async () => ({ per: {} }),
    client: {
      ask: async (_command: string, given: Many) => {
        asked.push({ ...given, backlog: started - env.done });
        started += given.n;
        return { t0: 0, t1: 1e9, started: given.n };
      },
    },
    until: async (isSo: () => boolean) => {
      env.done = started;
      return isSo();
    },
    untilDone: async (bodies: number) => env.until(() => env.done >= bodies),
  };
  let started = 0;
  return { env: env as unknown as Environment, asked };
}

describe('runs of a saturated system', () => {
  it('are all started at once, as many as the mode needs for its time', async () => {
    const { env, asked } = environment({ w1n: 5000 });
    expect(await WORKLOADS['w1']!.run(env, {})).toMatchObject({ n: 5000, got: 5000, complete: true });
    expect(asked.map(({ n, prefix }) => [n, prefix])).toEqual([[5000, 'a-']]);
  });

  it('come in waves where a backlog makes them slower, each when the one before is done', async () => {
    const { env, asked } = environment({ w1n: 5000, wave: 2000 });
    expect(await WORKLOADS['w1']!.run(env, {})).toMatchObject({ n: 5000, got: 5000, complete: true });
    expect(asked.map(({ n, prefix, backlog }) => [n, prefix, backlog])).toEqual([
      [2000, 'a-', 0],
      [2000, 'a-2000-', 0],
      [1000, 'a-4000-', 0],
    ]);
  });

  it('are fewer where their results are large, and as many as asked for when that is said', async () => {
    const of = async (work: string, set = {}) => {
      const { env, asked } = environment({ w1n: 40_000 });
      await WORKLOADS[work]!.run(env, set);
      return asked[0]!.n;
    };
    expect(await of('payload-100')).toBe(20_000);
    expect(await of('payload-100k')).toBe(1000);
    expect(await of('pglite')).toBe(1000);
    expect(await of('payload-100k', { n: 7 })).toBe(7);
  });
});

describe('one-step runs of 100 callers', () => {
  it('are as many as the mode needs for its time', async () => {
    const of = async (mode: Omit<Mode, 'name'>) => {
      const { env, asked } = environment(mode);
      await trig.run(env, {});
      return asked[0]!.n;
    };
    expect(await of({ w1n: 100, trign: 9000 })).toBe(9000);
    expect(await of({ w1n: 100 })).toBe(500);
  });
});
