import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import {
  HOUR,
  LongJob,
  MINUTE,
  runsOf,
  SharedClock,
  startProcess,
  timesOfRuns,
  type Process,
} from './support.js';

const NOON = Date.parse('2026-06-01T12:00Z');
const hours = (...all: number[]): number[] => all.map((hour) => NOON + hour * HOUR);

describe.each(DATABASES)('when the run before has not ended, on $name', ({ create }) => {
  let database: TestDatabase;
  let one: Process;
  const clock = new SharedClock(NOON);
  beforeEach(async () => {
    clock.at = NOON + 10 * MINUTE;
    database = await create();
    one = await startProcess(database, clock);
  });
  afterEach(async () => {
    await one.close();
    await database.dispose();
  });

  const at = async (hour: number): Promise<number[]> => {
    clock.at = NOON + hour * HOUR;
    await one.work();
    return timesOfRuns(one, 'long');
  };
  /** The last run hears that it is enough. */
  const end = async (): Promise<void> => {
    const last = (await runsOf(one, 'long')).at(-1)!;
    await one.client.notify(`enough ${last}`, undefined, { runId: last });
    await one.client.run(LongJob, last).result();
  };
  const active = async (): Promise<number> =>
    (await one.client.list()).runs.filter(({ status }) => ['pending', 'running', 'waiting'].includes(status))
      .length;

  it('allow starts beside it', async () => {
    await one.schedules.create(LongJob, { id: 'long', cron: '0 * * * *', payload: undefined });
    await at(1);
    expect(await at(2)).toEqual(hours(1, 2));
    expect(await active()).toBe(2);
  });

  it('skip drops the time', async () => {
    await one.schedules.create(LongJob, {
      id: 'long',
      cron: '0 * * * *',
      overlap: 'skip',
      payload: undefined,
    });
    await at(1);
    expect(await at(2)).toEqual(hours(1));
    await end();
    clock.at += 30 * MINUTE;
    expect((await one.work()).moved).toBe(false);
    expect(await at(3)).toEqual(hours(1, 3));
  });

  it('cancel-previous cancels it, in the same commit', async () => {
    const options = {
      id: 'long',
      cron: '0 * * * *',
      overlap: 'cancel-previous',
      payload: undefined,
    } as const;
    await one.schedules.create(LongJob, options);
    await at(1);
    expect(await at(2)).toEqual(hours(1, 2));
    const [first, second] = await runsOf(one, 'long');
    expect((await one.client.get(first!)).status).toBe('cancelled');
    expect((await one.client.get(second!)).status).toBe('waiting');
    await end();
    expect(await at(3)).toEqual(hours(1, 2, 3));
    expect((await one.client.get(second!)).status).toBe('completed');
  });

  it('queue starts when it has ended, woken by its end; of those that waited, the latest', async () => {
    await one.schedules.create(LongJob, {
      id: 'long',
      cron: '0 * * * *',
      overlap: 'queue',
      payload: undefined,
    });
    await at(1);
    expect(await at(2)).toEqual(hours(1));
    expect(await at(3)).toEqual(hours(1));
    expect((await one.schedules.get('long')).nextAt).toEqual(new Date(NOON + 2 * HOUR));
    await end();
    await expect.poll(() => timesOfRuns(one, 'long'), { timeout: 20_000 }).toEqual(hours(1, 3));
    await end();
    expect((await one.work()).moved).toBe(false);
    expect(await at(4)).toEqual(hours(1, 3, 4));
  });

  it('queue with catchUp all keeps each of them, one at a time', async () => {
    await one.schedules.create(LongJob, {
      id: 'long',
      cron: '0 * * * *',
      overlap: 'queue',
      catchUp: 'all',
      payload: undefined,
    });
    await at(1);
    for (const n of [2, 3, 4, 5]) expect(await at(n)).toEqual(hours(1));
    for (const n of [2, 3, 4, 5]) {
      await end();
      const expected = hours(...Array.from({ length: n }, (_, i) => i + 1));
      await expect.poll(() => timesOfRuns(one, 'long'), { timeout: 20_000 }).toEqual(expected);
      expect(await active()).toBe(1);
    }
  });

  it("a time that waits stands in no other schedule's way", async () => {
    for (let n = 0; n < 120; n++) {
      await one.schedules.create(LongJob, {
        id: `q${n}`,
        cron: '0 * * * *',
        overlap: 'queue',
        payload: undefined,
      });
    }
    await one.schedules.create(LongJob, { id: 'zz', cron: '0 * * * *', payload: undefined });
    await at(1);
    await at(2);
    expect(await timesOfRuns(one, 'zz')).toEqual(hours(1, 2));
    expect(await timesOfRuns(one, 'q7')).toEqual(hours(1));
  });
});
