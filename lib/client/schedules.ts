import { Inject, Injectable, type Type } from '@nestjs/common';
import {
  checkName,
  checkSchedule,
  checkScheduleId,
  timesOf,
  type PayloadOf,
  type WorkflowHandler,
} from '../authoring/index.js';
import { formatDuration } from '../engine/duration.js';
import { given } from '../engine/given.js';
import { scheduleLabel } from '../engine/schedule.js';
import { WorkflowError } from '../errors/index.js';
import { Codec, RunIntake, ScheduleStore, type ScheduleRecord } from '../ports/index.js';
import { computedPayload, WorkflowRegistry } from '../registry/index.js';
import { checkLimit, checkOptions, workflowName } from './arguments.js';
import { WorkflowCommands } from './commands.js';
import type { CreateSchedule, ScheduleInfo, SchedulePage, ScheduleQuery } from './schedule.types.js';
import { refuseInRun } from './side-effects.js';

/**
 * The schedules of the database: those of `@Schedule` and those that are made here. Also `client.schedules`. Inside `run` of a
 * workflow all that changes something throws WF_SIDE_EFFECT_IN_RUN, as with `WorkflowClient`.
 */
@Injectable()
export class WorkflowSchedules {
  constructor(
    @Inject(ScheduleStore) private readonly store: ScheduleStore,
    @Inject(WorkflowCommands) private readonly commands: WorkflowCommands,
    @Inject(WorkflowRegistry) private readonly registry: WorkflowRegistry,
    @Inject(RunIntake) private readonly intake: RunIntake,
    @Inject(Codec) private readonly codec: Codec,
  ) {}

  /**
   * Makes a schedule, or changes the one with this id. The same again changes nothing: an application may do so at each boot.
   * A changed pattern, interval or zone goes on from the next time it gives; what was paused stays paused.
   * @throws WorkflowError WF_INVALID_SCHEDULE, WF_INVALID_ARGUMENT, WF_UNKNOWN_WORKFLOW, WF_NOT_SERIALIZABLE, WF_TOO_LARGE,
   * WF_SCHEDULE_EXISTS (the id is one of a @Schedule, or of another workflow), WF_SIDE_EFFECT_IN_RUN; nothing is written then
   */
  async create<W extends WorkflowHandler<any, any> = WorkflowHandler<unknown, unknown>>(
    workflow: Type<W> | string,
    options: CreateSchedule<PayloadOf<W>>,
  ): Promise<ScheduleInfo> {
    refuseInRun('schedules.create');
    const { name, id, payload, rules } = given('What `schedules.create` is given', () => {
      const { name } = this.registry.resolve(workflow);
      const rules = checkSchedule(options, `The schedule of workflow "${name}"`);
      const id = checkScheduleId(options.id);
      return { name, id, rules, payload: this.codec.encode(options.payload, `payload of schedule "${id}"`) };
    });
    const { now } = await this.store.find(id);
    const row = {
      ...rules,
      id,
      workflow: name,
      payload,
      source: 'client' as const,
      nextAt: timesOf(rules).next(now),
    };
    const changed = await this.intake.repeat(() => this.store.put([row]));
    const schedule = await this.#find(id);
    if (schedule.source === 'code') {
      throw new WorkflowError(
        'WF_SCHEDULE_EXISTS',
        `Schedule "${id}" stands on the class of workflow "${schedule.workflow}"`,
      );
    }
    if (schedule.workflow !== name) {
      throw new WorkflowError(
        'WF_SCHEDULE_EXISTS',
        `Schedule "${id}" is one of workflow "${schedule.workflow}"`,
      );
    }
    if (changed.length > 0) this.intake.announceSchedules();
    return toInfo(schedule, this.codec);
  }

  /** @throws WorkflowError WF_SCHEDULE_NOT_FOUND */
  async get(id: string): Promise<ScheduleInfo> {
    return toInfo(await this.#find(id), this.codec);
  }

  /** In order of their ids, in pages. @throws WorkflowError WF_INVALID_ARGUMENT, WF_UNKNOWN_WORKFLOW for a class that is none */
  async list(query: ScheduleQuery = {}): Promise<SchedulePage> {
    const { limit, ...filter } = given('The query', () => {
      const { workflow, limit = 50, cursor } = checkOptions(query, 'The conditions of `schedules.list`');
      return {
        workflow: workflow === undefined ? null : workflowName(workflow),
        after: cursor === undefined ? null : checkName(cursor, 'The cursor'),
        limit: checkLimit(limit),
      };
    });
    const records = await this.store.list({ ...filter, limit: limit + 1 });
    const schedules = records.slice(0, limit).map((record) => toInfo(record, this.codec));
    return records.length > limit ? { schedules, cursor: schedules.at(-1)!.id } : { schedules };
  }

  /** Starts nothing until it is resumed, also after a deploy. What runs goes on. @throws WorkflowError WF_SCHEDULE_NOT_FOUND */
  async pause(id: string): Promise<void> {
    refuseInRun('schedules.pause');
    if (!(await this.store.pause(checkScheduleId(id)))) throw notFound(id);
    this.intake.announceSchedules();
  }

  /** Goes on with the next time from now; times of the pause are not caught up. @throws WorkflowError WF_SCHEDULE_NOT_FOUND */
  async resume(id: string): Promise<void> {
    refuseInRun('schedules.resume');
    // again when somebody changed it between the two statements
    for (;;) {
      const { now, schedule } = await this.store.find(checkScheduleId(id));
      if (!schedule) throw notFound(id);
      if (!schedule.paused) return;
      if (await this.store.resume(id, schedule.revision, timesOf(schedule).next(now))) break;
    }
    this.intake.announceSchedules();
  }

  /**
   * Starts one run now, whatever `overlap` says, also of a paused schedule; its times stay as they are. The run has an id of its
   * own and the labels of the schedule. @throws WorkflowError WF_SCHEDULE_NOT_FOUND, WF_UNKNOWN_WORKFLOW
   */
  async trigger(id: string): Promise<{ runId: string }> {
    refuseInRun('schedules.trigger');
    const { now, schedule } = await this.store.find(checkScheduleId(id));
    if (!schedule) throw notFound(id);
    const payload =
      schedule.payload === null
        ? computedPayload(this.registry.schedules.get(id), { schedule: id, scheduledAt: new Date(now) })
        : this.codec.decode(schedule.payload);
    const labels = [scheduleLabel(id), ...schedule.labels];
    const { header } = await this.commands.start(schedule.workflow, payload, { labels });
    return { runId: header.runId };
  }

  /**
   * Its runs stay. A schedule of a class comes back with the next boot of a process that has it: pause it instead.
   * @throws WorkflowError WF_SCHEDULE_NOT_FOUND
   */
  async delete(id: string): Promise<void> {
    refuseInRun('schedules.delete');
    if (!(await this.store.remove(checkScheduleId(id)))) throw notFound(id);
    this.intake.announceSchedules();
  }

  async #find(id: string): Promise<ScheduleRecord> {
    const { schedule } = await this.store.find(checkScheduleId(id));
    if (!schedule) throw notFound(id);
    return schedule;
  }
}

const notFound = (id: string): WorkflowError =>
  new WorkflowError('WF_SCHEDULE_NOT_FOUND', `There is no schedule "${id}"`);

const dateOf = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));

function toInfo(record: ScheduleRecord, codec: Codec): ScheduleInfo {
  const { cron, everyMs, timezone, payload, revision: _, ...rest } = record;
  return {
    ...rest,
    ...(cron !== null && { cron, timezone }),
    ...(everyMs !== null && { every: formatDuration(everyMs) }),
    ...(payload !== null && { payload: codec.decode(payload) }),
    nextAt: dateOf(record.nextAt),
    lastAt: dateOf(record.lastAt),
    createdAt: new Date(record.createdAt),
    updatedAt: new Date(record.updatedAt),
  };
}
