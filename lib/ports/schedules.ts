import type { CatchUp, Overlap } from '../engine/schedule.js';
import type { TriggerRow } from './store.js';

/** What was asked for; times are ms. */
export interface ScheduleRow {
  readonly id: string;
  readonly workflow: string;
  readonly cron: string | null;
  readonly everyMs: number | null;
  readonly timezone: string;
  readonly overlap: Overlap;
  readonly catchUp: CatchUp;
  /** encoded; null when the code makes one for each time */
  readonly payload: string | null;
  readonly labels: readonly string[];
  readonly source: 'code' | 'client';
  readonly nextAt: number | null;
}

export interface ScheduleRecord extends ScheduleRow {
  readonly paused: boolean;
  /** grows with each change of the row */
  readonly revision: number;
  readonly lastAt: number | null;
  readonly lastRunId: string | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface DueScheduleRecord extends ScheduleRecord {
  readonly nextAt: number;
  /** the run of the time before has not ended */
  readonly previousActive: boolean;
}

export interface DueSchedules {
  readonly due: readonly DueScheduleRecord[];
  /** some are due and wait for the run of the time before; they are not in `due` */
  readonly queued: boolean;
  /** the next time of any of these workflows */
  readonly nextAt: number | null;
  readonly now: number;
}

/** One revision of a schedule: once it is changed, it is no longer this one. */
export const revisionOf = ({ id, revision }: { id: string; revision: number }): string => `${revision}@${id}`;

/** One time, and its run. */
export interface ScheduleStart {
  readonly at: number;
  readonly run: TriggerRow;
}

/** What was decided on a due schedule. */
export interface ScheduleMove {
  readonly id: string;
  /** that it must still have: everything was decided from what was read with it */
  readonly revision: number;
  readonly nextAt: number | null;
  /** in order of time; the last one becomes the run of the time before */
  readonly starts: readonly ScheduleStart[];
  /** run to be cancelled */
  readonly cancel: string | null;
}

export interface Moved {
  /** ids of the schedules that were moved by this call; somebody else moves or changes the others */
  readonly moved: readonly string[];
  /** executions that were cancelled */
  readonly cancelled: readonly string[];
}

export interface ScheduleFilter {
  readonly workflow: string | null;
  readonly after: string | null;
  readonly limit: number;
}

/** The durable side of schedules. Each method is one statement, but for `move`, which is one transaction. */
export abstract class ScheduleStore {
  /**
   * Due schedules of these workflows, longest due first. `computed`: ids of schedules whose payload this process can make.
   * `passOver`: what {@link revisionOf} gives of those that are left alone for now.
   */
  abstract due(
    workflows: readonly string[],
    computed: readonly string[],
    passOver: readonly string[],
    limit: number,
  ): Promise<DueSchedules>;
  /** Starts the runs, cancels and moves on, of each schedule all or nothing. Repeated after a lost reply it does nothing. */
  abstract move(moves: readonly ScheduleMove[]): Promise<Moved>;

  /**
   * Inserts or changes. What is the same stays untouched; `paused` and the past always do; `nextAt` changes with the workflow,
   * the pattern, the interval or the zone. Refused is a `client` row over a `code` one, or over one of another workflow.
   * @returns ids of those that were inserted or changed
   */
  abstract put(rows: readonly ScheduleRow[]): Promise<string[]>;
  /** Deletes the `code` schedules of these workflows but for those; returns their ids. */
  abstract removeUndeclared(workflows: readonly string[], declared: readonly string[]): Promise<string[]>;
  /** @returns the time of the database with it */
  abstract find(id: string): Promise<{ now: number; schedule: ScheduleRecord | null }>;
  abstract list(filter: ScheduleFilter): Promise<ScheduleRecord[]>;
  /** False when there is none. One that is paused stays so. */
  abstract pause(id: string): Promise<boolean>;
  /** False when it was changed since that revision. */
  abstract resume(id: string, revision: number, nextAt: number | null): Promise<boolean>;
  abstract remove(id: string): Promise<boolean>;
}
