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
    const declared = [...this.registry.schedules.keys()];
    // again after a deadlock with another process that boots
    const removed = await this.intake.repeat(() => this.store.removeUndeclared(workflows, declared));
    for (const id of removed)
      this.#logger.log(`Schedule "${id}" stands on no class any more and was removed`);
    const changed = declared.length === 0 ? [] : await this.#put(declared[0]!);
    if (removed.length + changed.length > 0) this.intake.announceSchedules();
  }

  async #put(any: string): Promise<string[]> {
    const { now } = await this.store.find(any);
    return this.intake.repeat(() => this.store.put(this.#rows(now)));
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
