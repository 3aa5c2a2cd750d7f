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
// one a quarter of an hour, one an hour, one that is none of both
const LOOKS = [3, 11, 1, 0, 29, 14, 2, 46].map((minutes) => minutes * MINUTE);

// PGlite has one process
const FLEETS = DATABASES.map((database) => ({ ...database, count: database.name === 'postgres' ? 3 : 1 }));

describe.each(FLEETS)(
  'the nights in which the clock is changed, with $count processes on $name',
  ({ create, count }) => {
    let database: TestDatabase;
    const processes: Process[] = [];
    afterEach(async () => {
      for (const one of processes.splice(0)) await one.close();
      await database.dispose();
    });

    it('each time has one run, which is executed once', async () => {
      database = await create();
      const clock = new SharedClock(Date.parse(NIGHTS[0].midnight));
      for (let n = 0; n < count; n++) processes.push(await startProcess(database, clock));
      const [first] = processes as [Process];

      for (const { zone, midnight, hours, half } of NIGHTS) {
        const begin = Date.parse(midnight);
        const end = begin + hours * HOUR;
        // the first times are those of midnight itself
        clock.at = begin - MINUTE;
        const patterns = { hourly: '0 * * * *', quarterly: '*/15 * * * *', daily: '30 2 * * *' };
        for (const [name, cron] of Object.entries(patterns)) {
          await first.schedules.create(Job, {
            id: `${name} ${midnight}`,
            cron,
            timezone: zone,
            catchUp: 'all',
            payload: name,
          });
        }
        executed.length = 0;
        for (let turn = 0; clock.at < end - 1; turn++) {
          clock.at = Math.min(clock.at + LOOKS[turn % LOOKS.length]!, end - 1);
          await Promise.all(processes.map((one) => one.runner.look()));
        }
        // what one has lost to another it looks at again
        await expect
          .poll(async () =>
            (await first.schedules.list()).schedules.every(({ nextAt }) => nextAt! > new Date(clock.at)),
          )
          .toBe(true);
        const every = (ms: number, times: number): number[] =>
          Array.from({ length: times }, (_, n) => begin + n * ms);
        expect(await timesOfRuns(first, `hourly ${midnight}`)).toEqual(every(HOUR, hours));
        expect(await timesOfRuns(first, `quarterly ${midnight}`)).toEqual(every(15 * MINUTE, hours * 4));
        expect(await timesOfRuns(first, `daily ${midnight}`)).toEqual([Date.parse(half)]);
        await expect.poll(async () => executed.length).toBe(hours * 5 + 1);
        expect(new Set(executed).size).toBe(executed.length);
        for (const name of Object.keys(patterns)) await first.schedules.delete(`${name} ${midnight}`);
      }
    });
  },
);
