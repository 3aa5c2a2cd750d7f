import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Schedule, Workflow, WorkflowContext } from 'nestjs-workflow';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import { HOUR, Job, MINUTE, SharedClock, startProcess, timesOfRuns, type Process } from './support.js';

const NOON = Date.parse('2026-06-01T12:00Z');
const hours = (...all: number[]): number[] => all.map((hour) => NOON + hour * HOUR);

describe.each(DATABASES)('after six hours in which no process worked, on $name', ({ create }) => {
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

  const outage = async (ms: number): Promise<void> => {
    await one.runner.stop();
    clock.at += ms;
    one.runner.start();
    await one.work();
  };

  it.each([
    { catchUp: 'skip', started: [] },
    { catchUp: 'last', started: [6] },
    { catchUp: 'all', started: [1, 2, 3, 4, 5, 6] },
    { catchUp: undefined, started: [6] },
  ] as const)('$catchUp starts what it says, and goes on', async ({ catchUp, started }) => {
    await one.schedules.create(Job, {
      id: 'hourly',
      cron: '0 * * * *',
      ...(catchUp && { catchUp }),
      payload: '',
    });
    await outage(6 * HOUR);
    expect(await timesOfRuns(one, 'hourly')).toEqual(hours(...started));
    expect(await one.schedules.get('hourly')).toMatchObject({
      nextAt: new Date(NOON + 7 * HOUR),
      lastAt: started.length === 0 ? null : new Date(NOON + 6 * HOUR),
    });
    clock.at = NOON + 7 * HOUR;
    await one.work();
    expect(await timesOfRuns(one, 'hourly')).toEqual(hours(...started, 7));
  });

  it('all starts a thousand in one transaction, and none is left out or doubled where it goes on', async () => {
    await one.schedules.create(Job, { id: 'often', every: '10s', catchUp: 'all', payload: '' });
    const first = clock.at + 10_000;
    await outage(6 * HOUR);
    expect(await timesOfRuns(one, 'often')).toEqual(
      Array.from({ length: 2160 }, (_, n) => first + n * 10_000),
    );
  });

  it('a time that is late by less than a minute was not missed', async () => {
    await one.schedules.create(Job, { id: 'hourly', cron: '0 * * * *', catchUp: 'skip', payload: '' });
    await outage(NOON + HOUR + MINUTE - clock.at);
    expect(await timesOfRuns(one, 'hourly')).toEqual(hours(1));
    await outage(HOUR + 1);
    expect(await timesOfRuns(one, 'hourly')).toEqual(hours(1));
  });

  it('what passes while it is paused is not caught up', async () => {
    await one.schedules.create(Job, { id: 'hourly', cron: '0 * * * *', catchUp: 'all', payload: '' });
    await one.schedules.pause('hourly');
    await one.schedules.pause('hourly');
    clock.at += 3 * HOUR;
    expect((await one.work()).moved).toBe(false);
    expect(await one.schedules.get('hourly')).toMatchObject({ paused: true });
    await one.schedules.resume('hourly');
    await one.schedules.resume('hourly');
    expect(await one.schedules.get('hourly')).toMatchObject({
      paused: false,
      nextAt: new Date(NOON + 4 * HOUR),
    });
    await one.work();
    expect(await timesOfRuns(one, 'hourly')).toEqual([]);
    clock.at = NOON + 4 * HOUR;
    await one.work();
    expect(await timesOfRuns(one, 'hourly')).toEqual(hours(4));
  });
});

describe('deploys', () => {
  let database: TestDatabase;
  const open: Process[] = [];
  const clock = new SharedClock(NOON);
  beforeEach(async () => {
    clock.at = NOON + 10 * MINUTE;
    database = await createPostgres();
  });
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
    await database.dispose();
  });

  @Schedule({ cron: '0 * * * *', labels: ['old'], payload: 'hour' })
  @Schedule({ cron: '30 * * * *', name: 'half past', payload: 'half' })
  @Schedule({ every: '1d', payload: 'day' })
  @Workflow({ name: 'planned' })
  class Old {
    async run(ctx: WorkflowContext<string>): Promise<string> {
      return ctx.payload;
    }
  }
  @Schedule({ cron: '0 * * * *', labels: ['new'], payload: 'hour' })
  @Schedule({ cron: '45 * * * *', name: 'half past', payload: 'half' })
  @Workflow({ name: 'planned' })
  class New {
    async run(ctx: WorkflowContext<string>): Promise<string> {
      return ctx.payload;
    }
  }
  const boot = async (workflow: typeof Old): Promise<Process> => {
    const one = await startProcess(database, clock, { providers: [workflow, Job] });
    open.push(one);
    return one;
  };

  it('two processes that boot at once write each schedule once', async () => {
    const [one] = await Promise.all([boot(Old), boot(Old)]);
    const { schedules } = await one.schedules.list();
    expect(schedules.map(({ id, nextAt, payload }) => [id, payload, nextAt!.toISOString()])).toEqual([
      ['half past', 'half', '2026-06-01T12:30:00.000Z'],
      ['planned', 'hour', '2026-06-01T13:00:00.000Z'],
      ['planned/3', 'day', '2026-06-02T00:00:00.000Z'],
    ]);
    expect(new Set(schedules.map(({ source, workflow }) => `${source} ${workflow}`))).toEqual(
      new Set(['code planned']),
    );
    await Promise.all(open.map((each) => each.close()));
    open.length = 0;
    const [again] = await Promise.all([boot(Old), boot(Old), boot(Old)]);
    expect((await again.schedules.list()).schedules).toEqual(schedules);
  });

  it('the same definition leaves what is due alone; another pattern goes on from its next time', async () => {
    const old = await boot(Old);
    await old.runner.stop();
    await old.schedules.pause('half past');
    await old.schedules.create(Job, { id: 'made', every: '1h', payload: '' });
    // 13:10: the hour is due
    clock.at += HOUR;
    const one = await boot(New);
    await one.work();
    expect(await timesOfRuns(one, 'planned')).toEqual(hours(1));
    const { schedules } = await one.schedules.list();
    expect(schedules).toMatchObject([
      { id: 'half past', cron: '45 * * * *', paused: true, nextAt: new Date(NOON + HOUR + 45 * MINUTE) },
      { id: 'made', source: 'client' },
      { id: 'planned', labels: ['new'], paused: false, nextAt: new Date(NOON + 2 * HOUR) },
    ]);
    expect((await one.client.get(`planned@${new Date(NOON + HOUR).toISOString()}`)).labels).toEqual([
      'schedule:planned',
      'new',
    ]);
  });

  it('whoever boots last is right', async () => {
    await boot(Old);
    await boot(New);
    const last = await boot(Old);
    expect((await last.schedules.list()).schedules).toMatchObject([
      { cron: '30 * * * *' },
      {},
      { every: '1d' },
    ]);
  });

  it('a process that does not serve the workflow, or does not work, starts nothing', async () => {
    const old = await boot(Old);
    await old.close();
    open.length = 0;
    const idle = await startProcess(database, clock, { providers: [Old], workflow: { worker: false } });
    const other = await startProcess(database, clock, { providers: [Job] });
    open.push(idle, other);
    clock.at += HOUR;
    expect((await idle.work()).moved).toBe(false);
    expect((await other.work()).moved).toBe(false);
    expect((await other.schedules.list()).schedules).toHaveLength(3);
    expect(await timesOfRuns(other, 'planned')).toEqual([]);
    const again = await boot(Old);
    await again.work();
    expect(await timesOfRuns(again, 'planned')).toEqual(hours(1));
  });

  it('one that was declared by code and is made by hand is refused; made by hand first, the code takes it over', async () => {
    const first = await startProcess(database, clock, { providers: [Job] });
    open.push(first);
    await first.schedules.create(Job, { id: 'planned', every: '1h', payload: '' });
    const one = await boot(Old);
    expect(await one.schedules.get('planned')).toMatchObject({ source: 'code', workflow: 'planned' });
    await expect(
      one.schedules.create(Old, { id: 'planned', every: '1h', payload: '' }),
    ).rejects.toMatchObject({
      code: 'WF_SCHEDULE_EXISTS',
    });
    expect(await one.schedules.get('planned')).toMatchObject({ cron: '0 * * * *' });
  });
});
