import { describe, expect, it } from 'vitest';
import { Schedule, Workflow, WorkflowError } from 'nestjs-workflow';
import { parseTimetable, timesOf, type ScheduleTimes } from '../../lib/authoring/index.js';

const timesIn = (times: ScheduleTimes, from: string, to: string): string[] => {
  const { next } = timesOf(parseTimetable(times, 'The schedule'));
  const found: string[] = [];
  for (let at = next(Date.parse(from) - 1); at !== null && at <= Date.parse(to); at = next(at))
    found.push(new Date(at).toISOString().replace(':00.000Z', 'Z'));
  return found;
};

/** What the clock on the wall shows. */
const wall = (at: number, timezone: string): string =>
  new Intl.DateTimeFormat('sv', { timeZone: timezone, dateStyle: 'short', timeStyle: 'short' }).format(at);

// the days on which the clock is changed, from midnight to midnight by the clock on the wall
const NIGHTS = [
  { zone: 'Europe/Berlin', what: 'forward', from: '2026-03-28T23:00Z', to: '2026-03-29T22:00Z', hours: 23 },
  { zone: 'Europe/Berlin', what: 'back', from: '2026-10-24T22:00Z', to: '2026-10-25T23:00Z', hours: 25 },
  {
    zone: 'America/New_York',
    what: 'forward',
    from: '2026-03-08T05:00Z',
    to: '2026-03-09T04:00Z',
    hours: 23,
  },
  { zone: 'America/New_York', what: 'back', from: '2026-11-01T04:00Z', to: '2026-11-02T05:00Z', hours: 25 },
] as const;

describe.each(NIGHTS)('the clock of $zone is set $what', ({ zone, what, from, to, hours }) => {
  const end = new Date(Date.parse(to) - 1).toISOString();
  const times = (cron: string): string[] => timesIn({ cron, timezone: zone }, from, end);
  const shown = (cron: string): string[] => times(cron).map((at) => wall(Date.parse(at), zone).slice(11));

  it('each hour that passes has its time', () => {
    const all = times('0 * * * *');
    expect(all).toHaveLength(hours);
    expect(all.map((at) => Date.parse(at) - Date.parse(from))).toEqual(
      Array.from({ length: hours }, (_, n) => n * 3_600_000),
    );
  });

  it('and each quarter of an hour', () => {
    expect(times('*/15 * * * *')).toHaveLength(hours * 4);
    expect(times('*/15 * * * *')).toEqual(timesIn({ every: '15m' }, from, end));
  });

  // 02:30 exists twice in Berlin, and in New York 01:30 does
  const twice = zone === 'Europe/Berlin' ? 2 : 1;
  it('a time of the day comes once: after the gap, or the first time', () => {
    if (what === 'forward') {
      expect(shown('30 2 * * *')).toEqual(['03:00']);
      expect(shown('0,30 2 * * *')).toEqual(['03:00']);
      expect(shown('0 2-3 * * *')).toEqual(['03:00']);
      expect(shown('15 2,14 * * *')).toEqual(['03:00', '14:15']);
    } else {
      const first = Date.parse(from) + twice * 3_600_000 + 1_800_000;
      expect(times(`30 ${twice} * * *`).map(Date.parse)).toEqual([first]);
      expect(shown(`0,30 ${twice} * * *`)).toEqual([`0${twice}:00`, `0${twice}:30`]);
      expect(shown('30 1-2 * * *')).toEqual(['01:30', '02:30']);
    }
  });

  it('an interval leaves out what does not exist, and has both of what exists twice', () => {
    const quarters = shown(`*/15 ${what === 'forward' ? 2 : twice} * * *`);
    expect(quarters).toHaveLength(what === 'forward' ? 0 : 8);
  });

  it('the last time before a moment is the one after which the moment comes', () => {
    for (const cron of ['30 2 * * *', '0 * * * *', '*/15 2 * * *', '0 1-2 * * *']) {
      const { next, previous } = timesOf(parseTimetable({ cron, timezone: zone }, 'The schedule'));
      for (let at = Date.parse(from); at < Date.parse(to); at += 600_000) {
        const last = previous(at)!;
        expect(last).toBeLessThan(at);
        expect(next(last)! >= at).toBe(true);
        expect(next(last - 1)).toBe(last);
      }
    }
  });
});

describe('times', () => {
  it('are strictly later, to the millisecond', () => {
    const { next, previous } = timesOf(parseTimetable({ cron: '* * * * * *' }, 'The schedule'));
    expect([next(5000), next(5001), next(5999)]).toEqual([6000, 6000, 6000]);
    expect([previous(5000), previous(5001), previous(6000)]).toEqual([4000, 5000, 5000]);
  });

  it('are in UTC without a zone, wherever the machine is', () => {
    const before = process.env.TZ;
    process.env.TZ = 'Asia/Tokyo';
    try {
      expect(timesIn({ cron: '@daily' }, '2026-05-01T10:00Z', '2026-05-02T10:00Z')).toEqual([
        '2026-05-02T00:00Z',
      ]);
    } finally {
      if (before === undefined) delete process.env.TZ;
      else process.env.TZ = before;
    }
  });

  it('fall on days that not every month or year has', () => {
    expect(timesIn({ cron: '0 0 29 2 *' }, '2026-01-01T00:00Z', '2033-01-01T00:00Z')).toEqual([
      '2028-02-29T00:00Z',
      '2032-02-29T00:00Z',
    ]);
    expect(timesIn({ cron: '0 12 L * *' }, '2026-02-01T00:00Z', '2026-03-31T23:00Z')).toHaveLength(2);
    expect(timesIn({ cron: '0 0 9 * FRI#3' }, '2026-02-01T00:00Z', '2026-02-28T00:00Z')).toHaveLength(2);
  });
});

describe('what is no schedule', () => {
  const refused: [unknown, RegExp][] = [
    [{}, /neither `cron` nor `every`/],
    [{ cron: '* * * * *', every: '1h' }, /both `cron` and `every`/],
    [{ cron: '* * * *' }, /"\* \* \* \*", which is not a pattern/],
    [{ cron: '61 * * * *' }, /not a pattern/],
    [{ cron: '* * * * * * 2030' }, /not a pattern/],
    [{ cron: '2026-01-01T00:00:00' }, /which is a date/],
    [{ cron: '0 0 30 2 *' }, /no day of any year/],
    [{ cron: '? * * * *' }, /write \* for \?/],
    [{ cron: '' }, /not a pattern/],
    [{ cron: 5 }, /`cron` 5, which is not a text/],
    [{ cron: '* * * * *', timezone: 'Mars/Olympus' }, /`timezone` "Mars\/Olympus"/],
    [{ cron: '* * * * *', timezone: '' }, /`timezone` ""/],
    [{ cron: '* * * * *', timezone: '+02:00' }, /`timezone` "\+02:00"/],
    [{ cron: '* * * * *', timezone: 2 }, /`timezone` 2/],
    [{ every: '1h', timezone: 'Europe/Berlin' }, /an interval has no time zone/],
    [{ every: '999ms' }, /the least is '1s'/],
    [{ every: '0s' }, /the least is '1s'/],
    [{ every: '1 hour' }, /not a duration/],
    [{ every: 60 }, /not a duration/],
    [{ every: '1h', overlap: 'never' }, /`overlap` "never"/],
    [{ every: '1h', catchUp: 'some' }, /`catchUp` "some"/],
    [{ every: '1h', labels: 'a' }, /`labels`/],
    [{ every: '1h', labels: Array.from({ length: 64 }, String) }, /`labels`/],
    [undefined, /no options/],
  ];

  it.each(refused)('%j is refused where the class is defined', (options, message) => {
    const define = (): unknown => Schedule(options as { every: '1h' });
    expect(define).toThrow(message);
    expect(define).toThrow(expect.objectContaining({ code: 'WF_INVALID_SCHEDULE' }));
  });

  it('a name or a label that cannot be stored is refused as everywhere', () => {
    for (const options of [
      { name: '' },
      { name: 'a\0' },
      { name: 'x'.repeat(481) },
      { labels: [''] },
      { name: 5 },
    ]) {
      expect(() => Schedule({ every: '1h', ...(options as object) })).toThrow(
        expect.objectContaining({ code: 'WF_INVALID_ARGUMENT' }),
      );
    }
  });

  it('says what is wrong, of which schedule, and what to do', () => {
    expect(() => {
      @Schedule({ name: 'nightly', cron: '0 25 * * *' })
      @Workflow({ name: 'never' })
      class Never {
        async run(): Promise<void> {}
      }
      void Never;
    }).toThrow(
      /^@Schedule "nightly" has `cron` "0 25 \* \* \*", which is not a pattern: .*hour.* Give `cron`/,
    );
    expect(WorkflowError.is(undefined)).toBe(false);
  });
});
