import { describe, expect, it } from 'vitest';
import { FIRE, planFire, type FireOptions } from './fire.js';
import { expectedOf, KINDS, makeJob } from './jobs.js';
import { readOptions } from './options.js';

const options: FireOptions = { seed: 7, seconds: 60, workers: 3, kinds: FIRE, leaseTimeoutMs: 3000 };

describe('the fire of npm run chaos', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(planFire(options)).toEqual(planFire(options));
    expect(planFire({ ...options, seed: 8 })).not.toEqual(planFire(options));
  });

  it('brings all kinds, within the time, on all workers; pauses are longer than the lease timeout', () => {
    const acts = planFire(options);
    expect(new Set(acts.map(({ kind }) => kind))).toEqual(new Set(FIRE));
    expect(acts.length).toBeGreaterThan(25);
    expect(acts.every(({ at }, i) => at < 60_000 && (i === 0 || at > acts[i - 1]!.at))).toBe(true);
    const workers = acts.flatMap((act) => ('worker' in act ? [act.worker] : []));
    expect(new Set(workers)).toEqual(new Set([0, 1, 2]));
    expect(acts.every((act) => act.kind !== 'pause' || act.forMs > 3000)).toBe(true);
  });

  it('only the kinds that are asked for', () => {
    expect(planFire({ ...options, kinds: [] })).toEqual([]);
    expect(new Set(planFire({ ...options, kinds: ['cut'] }).map(({ kind }) => kind))).toEqual(
      new Set(['cut']),
    );
  });
});

describe('the options of npm run chaos', () => {
  it('have defaults', () => {
    const defaults = { seconds: 60, runs: 2000, workers: 3, transport: 'http', fire: FIRE, json: false };
    expect(readOptions([])).toMatchObject(defaults);
    expect(readOptions(['--help'])).toBe('help');
    const given = ['--seconds', '5', '--runs', '7', '--seed', '3', '--fire', 'kill,cut', '--json'];
    expect(readOptions(given)).toMatchObject({
      seconds: 5,
      runs: 7,
      seed: 3,
      fire: ['kill', 'cut'],
      json: true,
    });
    expect(readOptions(['--fire', 'none'])).toMatchObject({ fire: [] });
  });

  it.each([
    ['--seconds', '0'],
    ['--runs', 'many'],
    ['--transport', 'mail'],
    ['--fire', 'water'],
    ['--colour', 'red'],
  ])('refuse %s %s', (...args) => {
    expect(() => readOptions(args)).toThrow(args[0]!.slice(2));
  });
});

describe('the runs of npm run chaos', () => {
  it('are of all kinds, and each must end in one way', () => {
    const jobs = Array.from({ length: 60 }, (_, n) => makeJob(n, ''));
    expect(new Set(jobs.map(({ kind }) => kind))).toEqual(new Set(KINDS));
    expect(jobs.filter((job) => expectedOf(job).status === 'failed')).toHaveLength(10);
  });
});
