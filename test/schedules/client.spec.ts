import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Schedule, Workflow, WorkflowClient, WorkflowContext, WorkflowSchedules } from 'nestjs-workflow';
import { RunStore, ScheduleStore } from '../../lib/ports/index.js';
import { dump } from '../client/support.js';
import { recordingLogger } from '../support/silent-logger.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import {
  HOUR,
  Job,
  LongJob,
  MINUTE,
  runsOf,
  SharedClock,
  startProcess,
  timesOfRuns,
  type Process,
} from './support.js';

const NOON = Date.parse('2026-06-01T12:00Z');
let failing = false;

@Schedule({
  name: 'computed',
  cron: '0 * * * *',
  payload: ({ schedule, scheduledAt }) => {
    if (failing) throw new Error('no payload today');
    return `${schedule} ${scheduledAt.toISOString()}`;
  },
})
@Workflow({ name: 'computes' })
class Computes {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    return ctx.payload;
  }
}

@Workflow({ name: 'meddles', retries: 0 })
class Meddles {
  constructor(
    private readonly schedules: WorkflowSchedules,
    private readonly client: WorkflowClient,
  ) {}
  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    const calls: Record<string, () => Promise<unknown>> = {
      create: () => this.client.schedules.create(Job, { id: 'x', every: '1h', payload: '' }),
      pause: () => this.schedules.pause('computed'),
      resume: () => this.schedules.resume('computed'),
      trigger: () => this.schedules.trigger('computed'),
      delete: () => this.schedules.delete('computed'),
    };
    if (ctx.payload !== 'step') return calls[ctx.payload]!();
    return ctx.run('in a step', async () => (await calls.create!()) !== undefined);
  }
}

describe.each(DATABASES)('client.schedules on $name', ({ create }) => {
  let database: TestDatabase;
  let one: Process;
  let schedules: WorkflowSchedules;
  const clock = new SharedClock(NOON);
  const logger = recordingLogger();
  beforeEach(async () => {
    failing = false;
    logger.lines.length = 0;
    clock.at = NOON + 10 * MINUTE;
    database = await create();
    one = await startProcess(database, clock, { providers: [Job, LongJob, Computes, Meddles], logger });
    schedules = one.schedules;
  });
  afterEach(async () => {
    await one.close();
    await database.dispose();
  });

  it('is the object that is injected, too', () => {
    expect(one.app.get(WorkflowSchedules)).toBe(one.client.schedules);
  });

  it('makes a schedule, gives it, and changes it when it is made again', async () => {
    const made = await schedules.create(Job, { id: 'a', every: '90m', payload: 'p', labels: ['x'] });
    expect(made).toEqual({
      id: 'a',
      workflow: 'job',
      every: '90m',
      overlap: 'allow',
      catchUp: 'last',
      payload: 'p',
      labels: ['x'],
      source: 'client',
      paused: false,
      nextAt: new Date('2026-06-01T13:30Z'),
      lastAt: null,
      lastRunId: null,
      createdAt: new Date(clock.at),
      updatedAt: new Date(clock.at),
    });
    expect(await schedules.get('a')).toEqual(made);
    clock.at += 10 * MINUTE;
    expect(await schedules.create('job', { id: 'a', every: '90m', payload: 'p', labels: ['x'] })).toEqual(
      made,
    );
    const changed = await schedules.create(Job, {
      id: 'a',
      cron: '0 9 * * *',
      timezone: 'Asia/Tokyo',
      catchUp: 'all',
      overlap: 'queue',
      payload: 'q',
    });
    expect(changed).toMatchObject({
      cron: '0 9 * * *',
      timezone: 'Asia/Tokyo',
      catchUp: 'all',
      overlap: 'queue',
      payload: 'q',
      labels: [],
      nextAt: new Date('2026-06-02T00:00Z'),
      createdAt: made.createdAt,
      updatedAt: new Date(clock.at),
    });
    expect(changed).not.toHaveProperty('every');
  });

  it('lists them in order and in pages', async () => {
    for (const id of ['c', 'a', 'b']) await schedules.create(Job, { id, every: '1h', payload: '' });
    await schedules.create(LongJob, { id: 'd', every: '1h', payload: undefined });
    const ids = async (query?: Parameters<WorkflowSchedules['list']>[0]): Promise<unknown> => {
      const { schedules: found, cursor } = await schedules.list(query);
      return [found.map(({ id }) => id).join(), cursor];
    };
    expect(await ids()).toEqual(['a,b,c,computed,d', undefined]);
    expect(await ids({ limit: 2 })).toEqual(['a,b', 'b']);
    expect(await ids({ limit: 2, cursor: 'b' })).toEqual(['c,computed', 'computed']);
    expect(await ids({ workflow: LongJob })).toEqual(['d', undefined]);
    expect(await ids({ workflow: 'gone' })).toEqual(['', undefined]);
    await expect(schedules.list({ limit: 0 })).rejects.toMatchObject({ code: 'WF_INVALID_ARGUMENT' });
    await expect(schedules.list({ workflow: class {} })).rejects.toMatchObject({
      code: 'WF_UNKNOWN_WORKFLOW',
    });
  });

  it('starts one now, and leaves its times alone', async () => {
    const made = await schedules.create(Job, { id: 'a', every: '1d', payload: 'p', labels: ['x'] });
    await schedules.pause('a');
    const { runId } = await schedules.trigger('a');
    await one.client.run(Job, runId).result();
    expect(await one.client.get(runId)).toMatchObject({
      labels: ['schedule:a', 'x'],
      payload: 'p',
      workflow: 'job',
    });
    await schedules.trigger('a');
    expect(await runsOf(one, 'a')).toHaveLength(2);
    expect(await schedules.get('a')).toMatchObject({ nextAt: made.nextAt, lastAt: null, lastRunId: null });
    const computed = await schedules.trigger('computed');
    expect(await one.client.run(Computes, computed.runId).result()).toBe(
      `computed ${new Date(clock.at).toISOString()}`,
    );
  });

  it('deletes one, and its runs stay; made anew, a time that has had its run has no other', async () => {
    await schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: 'first' });
    clock.at = NOON + HOUR;
    await one.work();
    await schedules.delete('a');
    clock.at = NOON + HOUR - 1;
    await schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: 'second' });
    clock.at = NOON + 2 * HOUR;
    await one.work();
    await schedules.delete('a');
    clock.at = NOON + HOUR - 1;
    await schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: 'third', catchUp: 'all' });
    clock.at = NOON + 3 * HOUR;
    await one.work();
    const { runs } = await one.client.list({ label: 'schedule:a' });
    expect(runs.map(({ payload }) => payload)).toEqual(['third', 'second', 'first']);
  });

  it('refuses what is no schedule, and writes nothing', async () => {
    const before = await dump(one);
    const refused: [() => Promise<unknown>, string][] = [
      [() => schedules.create(Job, { id: 'a', cron: '99 * * * *', payload: '' }), 'WF_INVALID_SCHEDULE'],
      [() => schedules.create(Job, { id: 'a', every: '10ms', payload: '' }), 'WF_INVALID_SCHEDULE'],
      [() => schedules.create(Job, undefined as never), 'WF_INVALID_SCHEDULE'],
      [() => schedules.create(Job, { id: '', every: '1h', payload: '' }), 'WF_INVALID_ARGUMENT'],
      [() => schedules.create(Job, { every: '1h', payload: '' } as never), 'WF_INVALID_ARGUMENT'],
      [() => schedules.create('gone', { id: 'a', every: '1h' }), 'WF_UNKNOWN_WORKFLOW'],
      [
        () => schedules.create(Job, { id: 'a', every: '1h', payload: (() => 1) as never }),
        'WF_NOT_SERIALIZABLE',
      ],
      [() => schedules.create(Job, { id: 'a', every: '1h', payload: 'x'.repeat(2 ** 21) }), 'WF_TOO_LARGE'],
      [() => schedules.create(Computes, { id: 'computed', every: '1h', payload: '' }), 'WF_SCHEDULE_EXISTS'],
      [() => schedules.create(Job, { id: 'computed', every: '1h', payload: '' }), 'WF_SCHEDULE_EXISTS'],
      ...(['get', 'pause', 'resume', 'trigger', 'delete'] as const).flatMap(
        (call): [() => Promise<unknown>, string][] => [
          [() => schedules[call]('gone'), 'WF_SCHEDULE_NOT_FOUND'],
          [() => schedules[call]('a\0b'), 'WF_INVALID_ARGUMENT'],
        ],
      ),
    ];
    for (const [call, code] of refused) await expect(call(), code).rejects.toMatchObject({ code });
    expect(await dump(one)).toEqual(before);
    await schedules.create(LongJob, { id: 'a', every: '1h', payload: undefined });
    await expect(schedules.create(Job, { id: 'a', every: '1h', payload: '' })).rejects.toMatchObject({
      code: 'WF_SCHEDULE_EXISTS',
    });
    expect(await schedules.get('a')).toMatchObject({ workflow: 'long-job' });
  });

  it('is refused in run, and allowed in a step', async () => {
    for (const call of ['create', 'pause', 'resume', 'trigger', 'delete']) {
      const run = await one.client.trigger(Meddles, call);
      await expect(run.result()).rejects.toThrow(
        `client.schedules.${call} is called in run of workflow "meddles"`,
      );
    }
    expect(await (await one.client.trigger(Meddles, 'step')).result()).toBe(true);
    expect((await schedules.list()).schedules.map(({ id }) => id)).toEqual(['computed', 'x']);
  });

  it('a payload is made of each time', async () => {
    expect(await schedules.get('computed')).not.toHaveProperty('payload');
    clock.at = NOON + HOUR;
    await one.work();
    const [runId] = await runsOf(one, 'computed');
    expect(runId).toBe('computed@2026-06-01T13:00:00.000Z');
    expect(await one.client.run(Computes, runId!).result()).toBe('computed 2026-06-01T13:00:00.000Z');
  });

  it('a payload function that throws costs no other schedule its time, and its own time is not lost', async () => {
    await schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: '' });
    failing = true;
    clock.at = NOON + HOUR;
    await one.work();
    expect(await timesOfRuns(one, 'a')).toEqual([NOON + HOUR]);
    expect(await timesOfRuns(one, 'computed')).toEqual([]);
    expect(logger.lines.join('\n')).toMatch(/Schedule "computed" could not be started, .*no payload today/);
    failing = false;
    // anything that changes it ends the pause of half a minute
    await schedules.pause('computed');
    await schedules.resume('computed');
    clock.at = NOON + 2 * HOUR;
    await one.work();
    expect(await timesOfRuns(one, 'computed')).toEqual([NOON + 2 * HOUR]);
  });

  it('a transaction that breaks off leaves neither run nor progress, and one whose reply is lost leaves both', async () => {
    await schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: '' });
    await schedules.delete('computed');
    clock.at = NOON + HOUR;
    const store = one.app.get(RunStore);
    const trigger = store.trigger.bind(store);
    const table = one.app.get(ScheduleStore);
    const move = table.move.bind(table);
    // from the start: a look that tries again by itself may be under way at any moment below
    let lost = 0;
    table.move = async (moves) => {
      await move(moves);
      if (lost++ === 0) throw Object.assign(new Error('terminated'), { code: '57P01' });
      throw new Error('asked again for what was moved');
    };
    const before = await schedules.get('a');
    store.trigger = async (rows, manager) => {
      await trigger(rows, manager);
      throw Object.assign(new Error('terminated'), { code: '57P01' });
    };
    await one.runner.look();
    expect(await schedules.get('a')).toEqual(before);
    expect(await runsOf(one, 'a')).toEqual([]);

    store.trigger = trigger;
    await one.runner.look();
    table.move = move;
    await one.work();
    expect(lost).toBe(1);
    expect(await timesOfRuns(one, 'a')).toEqual([NOON + HOUR]);
    expect((await schedules.get('a')).nextAt).toEqual(new Date(NOON + 2 * HOUR));
  });

  it('what is paused, changed or moved between the look and the start is not started from what was seen', async () => {
    const table = one.app.get(ScheduleStore);
    const move = table.move.bind(table);
    const between = async (what: () => Promise<unknown>): Promise<void> => {
      table.move = async (moves) => {
        table.move = move;
        await what();
        const result = await move(moves);
        expect(result).toEqual({ moved: [], cancelled: [] });
        return result;
      };
      await one.runner.look();
      expect(table.move).toBe(move);
    };
    await schedules.delete('computed');
    await schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: 'old' });
    clock.at = NOON + HOUR;
    await between(() => schedules.pause('a'));
    expect(await runsOf(one, 'a')).toEqual([]);
    await schedules.resume('a');

    clock.at = NOON + 2 * HOUR;
    await between(() => schedules.create(Job, { id: 'a', cron: '0 * * * *', payload: 'new' }));
    // at once: it has another revision
    expect((await one.client.list({ label: 'schedule:a' })).runs).toMatchObject([{ payload: 'new' }]);

    clock.at = NOON + 3 * HOUR;
    await between(async () => {
      const { due } = await table.due(['job'], [], [], 1);
      const { id, revision } = due[0]!;
      const nextAt = NOON + 4 * HOUR;
      expect((await move([{ id, revision, nextAt, starts: [], cancel: null }])).moved).toEqual(['a']);
      expect((await move([{ id, revision, nextAt, starts: [], cancel: null }])).moved).toEqual([]);
    });
    expect(await runsOf(one, 'a')).toHaveLength(1);
  });
});
