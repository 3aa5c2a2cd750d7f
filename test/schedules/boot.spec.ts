import { Injectable, type Provider } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Schedule, Workflow, WorkflowContext, WorkflowScheduler } from 'nestjs-workflow';
import { ScheduleStore } from '../../lib/ports/index.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { executed, HOUR, Job, runsOf, SharedClock, startProcess, type Process } from './support.js';

const NOON = Date.parse('2026-06-01T12:00Z');

let database: TestDatabase;
const open: Process[] = [];
beforeEach(async () => {
  database = await createPostgres();
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  await database.dispose();
});

const boot = async (...providers: Provider[]): Promise<Process> => {
  const one = await startProcess(database, new SharedClock(NOON), { providers });
  open.push(one);
  return one;
};

class Runs {
  async run(ctx: WorkflowContext<any>): Promise<unknown> {
    return ctx.payload;
  }
}

describe('an application does not boot', () => {
  it('with two schedules of one name', async () => {
    @Schedule({ every: '1h', name: 'same' })
    @Schedule({ every: '2h', name: 'same' })
    @Workflow({ name: 'twice' })
    class Twice extends Runs {}
    await expect(boot(Twice)).rejects.toMatchObject({
      code: 'WF_INVALID_SCHEDULE',
      message: expect.stringMatching(/^Workflow "twice" has two schedules named "same"/),
    });
  });

  it('with one name on two workflows, given or by default', async () => {
    @Schedule({ every: '1h', name: 'b' })
    @Workflow({ name: 'a' })
    class A extends Runs {}
    @Schedule({ every: '1h' })
    @Workflow({ name: 'b' })
    class B extends Runs {}
    await expect(boot(A, B)).rejects.toThrow('Schedule name "b" is used by workflow "a" and by "b"');
  });

  it('with @Schedule on what is no workflow', async () => {
    @Schedule({ every: '1h' })
    @Injectable()
    class Service extends Runs {}
    await expect(boot(Job, Service)).rejects.toThrow('Class Service is marked @Schedule and not @Workflow');
  });

  it('with a payload that cannot be stored; nothing is written', async () => {
    @Schedule({ every: '1h', name: 'good' })
    @Schedule({ every: '1h', name: 'bad', payload: { symbol: Symbol('x') } })
    @Workflow({ name: 'unstorable' })
    class Unstorable extends Runs {}
    await expect(boot(Unstorable)).rejects.toMatchObject({
      code: 'WF_NOT_SERIALIZABLE',
      message: expect.stringContaining('payload of schedule "bad"'),
    });
    expect((await (await boot(Job)).schedules.list()).schedules).toEqual([]);
  });
});

it('a subclass has its own schedules, and not those of the class it extends', async () => {
  @Schedule({ every: '1h' })
  @Workflow({ name: 'base' })
  class Base extends Runs {}
  @Workflow({ name: 'derived' })
  class Derived extends Base {}
  const one = await boot(Base, Derived);
  expect((await one.schedules.list()).schedules.map(({ id }) => id)).toEqual(['base']);
});

it('what is made in one process is known in the others at once, whose timers sleep for longer', async () => {
  const [maker, other] = [await boot(Job), await boot(Job)];
  const store = other.app.get(ScheduleStore);
  const due = store.due.bind(store);
  const seen: (number | null)[] = [];
  store.due = async (...args) => {
    const found = await due(...args);
    seen.push(found.nextAt);
    return found;
  };
  await maker.schedules.create(Job, { id: 'soon', cron: '0 * * * *', payload: '' });
  await expect.poll(() => seen.at(-1), { timeout: 20_000 }).toBe(NOON + HOUR);
  await maker.schedules.delete('soon');
  await expect.poll(() => seen.at(-1), { timeout: 20_000 }).toBe(null);
});

it('a payload function that gives a promise is refused, and tried again', async () => {
  @Schedule({ every: '1h', name: 'late', payload: async () => 1 })
  @Workflow({ name: 'late' })
  class Late extends Runs {}
  const one = await boot(Late);
  const { now, schedule } = await one.app.get(ScheduleStore).find('late');
  expect(schedule!.nextAt).toBe(now + HOUR);
  await expect(one.schedules.trigger('late')).rejects.toThrow(
    /payload function of schedule "late" gives a promise/,
  );
  expect(await runsOf(one, 'late')).toEqual([]);
});

it('over HTTP, its runs are delivered as any other', async () => {
  const clock = new SharedClock(NOON);
  const one = await startProcess(database, clock, { providers: [Job], listen: true });
  open.push(one);
  await expect.poll(() => one.app.get(WorkflowScheduler).transport, { timeout: 20_000 }).toBe('http');
  await one.schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: '' });
  clock.at = NOON + HOUR;
  await one.work();
  const [runId] = await runsOf(one, 'a');
  expect(runId).toBe('a@2026-06-01T13:00:00.000Z');
  await one.client.run(Job, runId!).result({ timeout: '20s' });
  expect(executed).toContain(runId);
});
