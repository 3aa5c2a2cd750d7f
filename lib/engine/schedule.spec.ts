import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CATCH_UPS,
  decideSchedule,
  MISSED_AFTER_MS,
  MOST_AT_ONCE,
  OVERLAPS,
  scheduledRunId,
  scheduleLabel,
  timesEvery,
  type DueSchedule,
  type Times,
} from './schedule.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const hourly = timesEvery(HOUR);
const due = (given: Partial<DueSchedule>): DueSchedule => ({
  nextAt: 0,
  now: 0,
  catchUp: 'last',
  overlap: 'allow',
  previousActive: false,
  ...given,
});
/** Only these times. */
const fixed = (...all: number[]): Times => ({
  next: (after) => all.find((at) => at > after) ?? null,
  previous: (before) => all.findLast((at) => at < before) ?? null,
});

describe('a time that is on time', () => {
  it.each(CATCH_UPS)('is started, whatever the policy: %s', (catchUp) => {
    expect(decideSchedule(hourly, due({ nextAt: HOUR, now: HOUR, catchUp }))).toEqual({
      starts: [HOUR],
      cancelPrevious: false,
      nextAt: 2 * HOUR,
    });
    const late = due({ nextAt: HOUR, now: HOUR + MISSED_AFTER_MS, catchUp });
    expect(decideSchedule(hourly, late).starts).toEqual([HOUR]);
  });

  it.each(CATCH_UPS)('is on time also when others came with it: %s', (catchUp) => {
    const { starts, nextAt } = decideSchedule(timesEvery(1000), due({ nextAt: 1000, now: 3500, catchUp }));
    expect(starts).toEqual([1000, 2000, 3000]);
    expect(nextAt).toBe(4000);
  });
});

describe('after six hours of downtime', () => {
  const down = { nextAt: HOUR, now: 6 * HOUR + 5 * MINUTE };

  it('skip starts none of them', () => {
    expect(decideSchedule(hourly, due({ ...down, catchUp: 'skip' }))).toMatchObject({
      starts: [],
      nextAt: 7 * HOUR,
    });
  });

  it('skip starts the one that has only just come', () => {
    const now = 6 * HOUR + MISSED_AFTER_MS;
    expect(decideSchedule(hourly, due({ ...down, now, catchUp: 'skip' })).starts).toEqual([6 * HOUR]);
    expect(decideSchedule(hourly, due({ ...down, now: now + 1, catchUp: 'skip' })).starts).toEqual([]);
  });

  it('last starts the latest', () => {
    expect(decideSchedule(hourly, due(down))).toMatchObject({ starts: [6 * HOUR], nextAt: 7 * HOUR });
    expect(decideSchedule(hourly, due({ ...down, now: 6 * HOUR })).starts).toEqual([6 * HOUR]);
  });

  it('all starts each, in order', () => {
    expect(decideSchedule(hourly, due({ ...down, catchUp: 'all' }))).toMatchObject({
      starts: [1, 2, 3, 4, 5, 6].map((n) => n * HOUR),
      nextAt: 7 * HOUR,
    });
  });

  it('all starts a thousand at a time', () => {
    const second = timesEvery(1000);
    const now = 6 * HOUR;
    const first = decideSchedule(second, due({ nextAt: 1000, now, catchUp: 'all' }));
    expect(first.starts).toHaveLength(MOST_AT_ONCE);
    expect(first.nextAt).toBe((MOST_AT_ONCE + 1) * 1000);
    const begun = performance.now();
    expect(decideSchedule(second, due({ nextAt: 1000, now: 1e12 })).starts).toEqual([1e12]);
    expect(performance.now() - begun).toBeLessThan(50);
  });
});

describe('times that end', () => {
  it('are over after the last one', () => {
    const times = fixed(MINUTE);
    expect(decideSchedule(times, due({ nextAt: MINUTE, now: MINUTE }))).toMatchObject({
      starts: [MINUTE],
      nextAt: null,
    });
    expect(decideSchedule(times, due({ nextAt: MINUTE, now: HOUR, catchUp: 'skip' }))).toMatchObject({
      starts: [],
      nextAt: null,
    });
  });

  it('and a time that is none any more (the rules of the zone have changed) is started as it was promised', () => {
    expect(decideSchedule(fixed(1, 2), due({ nextAt: 5, now: HOUR })).starts).toEqual([5]);
    expect(decideSchedule(fixed(), due({ nextAt: 5, now: HOUR }))).toMatchObject({
      starts: [5],
      nextAt: null,
    });
  });
});

describe('overlap', () => {
  const six = { nextAt: HOUR, now: 6 * HOUR, catchUp: 'all' } as const;

  it('allow does not ask for the run before', () => {
    expect(decideSchedule(hourly, due({ ...six, previousActive: true }))).toMatchObject({
      starts: { length: 6 },
      cancelPrevious: false,
    });
  });

  it('skip drops the times that find it active, also those that come with the first', () => {
    expect(decideSchedule(hourly, due({ ...six, overlap: 'skip', previousActive: true }))).toEqual({
      starts: [],
      cancelPrevious: false,
      nextAt: 7 * HOUR,
    });
    expect(decideSchedule(hourly, due({ ...six, overlap: 'skip' }))).toMatchObject({
      starts: [HOUR],
      nextAt: 7 * HOUR,
    });
  });

  it('queue leaves the time due until it has ended, and takes one at a time', () => {
    expect(decideSchedule(hourly, due({ ...six, overlap: 'queue', previousActive: true }))).toMatchObject({
      starts: [],
      nextAt: HOUR,
    });
    expect(decideSchedule(hourly, due({ ...six, overlap: 'queue' }))).toMatchObject({
      starts: [HOUR],
      nextAt: 2 * HOUR,
    });
    const last = due({ nextAt: 6 * HOUR, now: 6 * HOUR, overlap: 'queue' });
    expect(decideSchedule(hourly, last)).toMatchObject({ starts: [6 * HOUR], nextAt: 7 * HOUR });
  });

  it('queue with `last` lets only the latest of those that waited start', () => {
    expect(decideSchedule(hourly, due({ ...six, catchUp: 'last', overlap: 'queue' }))).toMatchObject({
      starts: [6 * HOUR],
      nextAt: 7 * HOUR,
    });
  });

  it('cancel-previous starts the latest, and cancels only when it starts something', () => {
    const decision = decideSchedule(
      hourly,
      due({ ...six, overlap: 'cancel-previous', previousActive: true }),
    );
    expect(decision).toEqual({ starts: [6 * HOUR], cancelPrevious: true, nextAt: 7 * HOUR });
    const alone = decideSchedule(hourly, due({ ...six, overlap: 'cancel-previous' }));
    expect(alone.cancelPrevious).toBe(false);
    const skipped = due({ ...six, now: 6 * HOUR + 2 * MINUTE, catchUp: 'skip', overlap: 'cancel-previous' });
    expect(decideSchedule(hourly, { ...skipped, previousActive: true })).toMatchObject({
      starts: [],
      cancelPrevious: false,
    });
  });
});

it('whenever it is looked, each time is decided on once: none is started twice, and `all` misses none', () => {
  const looks = fc.array(
    fc.record({ after: fc.integer({ min: 0, max: 40 * MINUTE }), active: fc.boolean() }),
    {
      maxLength: 30,
    },
  );
  const policies = fc.record({
    catchUp: fc.constantFrom(...CATCH_UPS),
    overlap: fc.constantFrom(...OVERLAPS),
    every: fc.constantFrom(1000, 17_000, 10 * MINUTE),
  });
  fc.assert(
    fc.property(policies, looks, ({ catchUp, overlap, every }, all) => {
      const times = timesEvery(every);
      const started: number[] = [];
      let nextAt: number | null = every;
      let now = 0;
      for (const { after, active } of all) {
        now += after;
        while (nextAt !== null && nextAt <= now) {
          const decision = decideSchedule(times, { nextAt, now, catchUp, overlap, previousActive: active });
          started.push(...decision.starts);
          if (decision.nextAt === nextAt) break;
          expect(decision.nextAt!).toBeGreaterThan(nextAt);
          nextAt = decision.nextAt;
        }
      }
      expect(started).toEqual([...new Set(started)].toSorted((a, b) => a - b));
      for (const at of started) expect(at % every).toBe(0);
      if (catchUp === 'all' && overlap === 'allow') expect(started).toHaveLength(Math.floor(now / every));
    }),
    { numRuns: 200 },
  );
});

describe('every', () => {
  it('counts from 1970', () => {
    expect([hourly.next(0), hourly.next(HOUR - 1), hourly.next(HOUR)]).toEqual([HOUR, HOUR, 2 * HOUR]);
    expect([hourly.previous(HOUR + 1), hourly.previous(HOUR), hourly.previous(1)]).toEqual([HOUR, 0, 0]);
  });
});

it('the run of a time has one id', () => {
  expect(scheduledRunId('nightly', Date.UTC(2026, 2, 29, 1))).toBe('nightly@2026-03-29T01:00:00.000Z');
  expect(scheduleLabel('nightly')).toBe('schedule:nightly');
});
