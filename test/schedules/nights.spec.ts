import { afterEach, describe, expect, it } from 'vitest';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import {
  executed,
  HOUR,
  Job,
  MINUTE,
  SharedClock,
  startProcess,
  timesOfRuns,
  type Process,
} from './support.js';

const NIGHTS = [
  { zone: 'Europe/Berlin', midnight: '2026-03-28T23:00Z', hours: 23, half: '2026-03-29T01:00Z' },
  { zone: 'America/New_York', midnight: '2026-03-08T05:00Z', hours: 23, half: '2026-03-08T07:00Z' },
  { zone: 'Europe/Berlin', midnight: '2026-10-24T22:00Z', hours: 25, half: '2026-10-25T00:30Z' },
  { zone: 'America/New_York', midnight: '2026-11-01T04:00Z', hours: 25, half: '2026-11-01T07:30Z' },
] as const;
/** Minutes between two looks: now and then at the very time, now and then long after. */
const LOOKS = [3, 11, 1, 0, 29, 14, 2, 46];
const PATTERNS = { hourly: '0 * * * *', quarterly: '*/15 * * * *', daily: '30 2 * * *' };

// PGlite has one process
const FLEETS = DATABASES.map((database) => ({ ...database, count: database.name === 'postgres' ? 3 : 1 }));

describe.each(FLEETS)('with $count processes on $name', ({ create, count }) => {
  let database: TestDatabase;
  const processes: Process[] = [];
  afterEach(async () => {
    for (const one of processes.splice(0)) await one.close();
    await database.dispose();
  });

  it.each(NIGHTS)(
    'each time of the day of $hours hours in $zone has one run, which is executed once',
    async ({ zone, midnight, hours, half }) => {
      database = await create();
      const begin = Date.parse(midnight);
      const end = begin + hours * HOUR;
      // the first times are those of midnight itself
      const clock = new SharedClock(begin - MINUTE);
      for (let n = 0; n < count; n++) processes.push(await startProcess(database, clock));
      const [first] = processes as [Process];
      for (const [id, cron] of Object.entries(PATTERNS))
        await first.schedules.create(Job, { id, cron, timezone: zone, catchUp: 'all', payload: id });
      executed.length = 0;

      for (let turn = 0; clock.at < end - 1; turn++) {
        clock.at = Math.min(clock.at + LOOKS[turn % LOOKS.length]! * MINUTE, end - 1);
        await Promise.all(processes.map((one) => one.runner.look()));
      }
      // what one has left to another
      const decided = async (): Promise<boolean> =>
        (await first.schedules.list()).schedules.every(({ nextAt }) => nextAt!.getTime() > clock.at);
      await expect.poll(decided, { timeout: 30_000 }).toBe(true);

      const every = (ms: number, times: number): number[] =>
        Array.from({ length: times }, (_, n) => begin + n * ms);
      expect(await timesOfRuns(first, 'hourly')).toEqual(every(HOUR, hours));
      expect(await timesOfRuns(first, 'quarterly')).toEqual(every(15 * MINUTE, hours * 4));
      expect(await timesOfRuns(first, 'daily')).toEqual([Date.parse(half)]);
      await expect.poll(() => executed.length, { timeout: 30_000 }).toBe(hours * 5 + 1);
      expect(new Set(executed).size).toBe(executed.length);
    },
  );
});
