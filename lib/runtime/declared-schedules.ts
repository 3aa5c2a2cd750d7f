import { Injectable, Logger } from '@nestjs/common';
import { timesOf } from '../authoring/index.js';
import { Codec, RunIntake, ScheduleStore, type ScheduleRow } from '../ports/index.js';
import { WorkflowRegistry } from '../registry/index.js';

/** The schedules that stand on the workflow classes of this process, and their way into the database. */
@Injectable()
export class DeclaredSchedules {
  readonly #logger = new Logger('Workflow');

  constructor(
    private readonly registry: WorkflowRegistry,
    private readonly store: ScheduleStore,
    private readonly intake: RunIntake,
    private readonly codec: Codec,
  ) {}

  /** Ids of those whose payloads are made by this code. */
  get computed(): string[] {
    return [...this.registry.schedules.values()]
      .filter(({ payload }) => typeof payload === 'function')
      .map(({ id }) => id);
  }

  /** Refuses payloads that cannot be stored, before anything is written. @throws WorkflowError WF_NOT_SERIALIZABLE, WF_TOO_LARGE */
  check(): void {
    this.#rows(0);
  }

  /**
   * Makes the database say what the classes say. Each process does so at its boot: whoever boots last is right, and a process of
   * the release before that goes on running works by what is in the database.
   */
  async write(): Promise<void> {
    const workflows = this.registry.names();
    const removed = await this.store.removeUndeclared(workflows, [...this.registry.schedules.keys()]);
    for (const id of removed)
      this.#logger.log(`Schedule "${id}" stands on no class any more and was removed`);
    const [first] = this.registry.schedules.keys();
    if (first !== undefined) {
      const { now } = await this.store.find(first);
      const changed = await this.store.put(this.#rows(now));
      if (removed.length + changed.length > 0) this.intake.announceSchedules();
    } else if (removed.length > 0) this.intake.announceSchedules();
  }

  #rows(now: number): ScheduleRow[] {
    return [...this.registry.schedules.values()].map(({ payload, ...schedule }) => ({
      id: schedule.id,
      workflow: schedule.workflow,
      cron: schedule.cron,
      everyMs: schedule.everyMs,
      timezone: schedule.timezone,
      overlap: schedule.overlap,
      catchUp: schedule.catchUp,
      labels: schedule.labels,
      payload:
        typeof payload === 'function'
          ? null
          : this.codec.encode(payload, `payload of schedule "${schedule.id}"`),
      source: 'code',
      nextAt: timesOf(schedule).next(now),
    }));
  }
}
