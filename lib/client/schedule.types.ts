import type { SchedulePolicy, ScheduleTimes } from '../authoring/index.js';
import type { Duration } from '../engine/duration.js';
import type { CatchUp, Overlap } from '../engine/schedule.js';

/** A payload where the workflow takes one. */
export type ScheduledPayload<P> = unknown extends P
  ? { payload?: unknown }
  : [P] extends [void]
    ? { payload?: undefined }
    : { payload: P };

/** What `client.schedules.create` is given. */
export type CreateSchedule<P = unknown> = ScheduleTimes &
  SchedulePolicy &
  ScheduledPayload<P> & {
    /** unique; creating it again changes the schedule */
    id: string;
  };

/** A schedule as it is now. */
export interface ScheduleInfo {
  readonly id: string;
  readonly workflow: string;
  readonly cron?: string;
  readonly every?: Duration;
  /** of `cron` */
  readonly timezone?: string;
  readonly overlap: Overlap;
  readonly catchUp: CatchUp;
  /** absent when a function of the code makes it for each time */
  readonly payload?: unknown;
  readonly labels: readonly string[];
  /** `code`: of a @Schedule; `client`: made by `schedules.create` */
  readonly source: 'code' | 'client';
  readonly paused: boolean;
  /** null: there is no further time. Of a paused one: not the next start, that is reckoned by `resume` */
  readonly nextAt: Date | null;
  /** the planned time that was started last, and its run */
  readonly lastAt: Date | null;
  readonly lastRunId: string | null;
  readonly createdAt: Date;
  /** when its definition was changed, or it was paused or resumed */
  readonly updatedAt: Date;
}

/** Which schedules `client.schedules.list` gives, and how many at a time. */
export interface ScheduleQuery {
  workflow?: string | (abstract new (...args: any[]) => unknown);
  /** schedules of one page, 1 to 1000 @default 50 */
  limit?: number;
  /** `cursor` of the page before */
  cursor?: string;
}

/** One page of `client.schedules.list`; `cursor` asks for the next one. */
export interface SchedulePage {
  /** in order of their ids */
  schedules: ScheduleInfo[];
  /** for the next page; absent on the last */
  cursor?: string;
}
