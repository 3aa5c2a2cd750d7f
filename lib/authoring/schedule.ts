import 'reflect-metadata';
import type { Type } from '@nestjs/common';
import { CATCH_UPS, OVERLAPS, type CatchUp, type Overlap } from '../engine/schedule.js';
import { given } from '../engine/given.js';
import { WorkflowError } from '../errors/index.js';
import { checkName } from './event.js';
import { invalid, parseTimetable, shown, type ScheduleTimes, type Timetable } from './timetable.js';
import type { PayloadOf, WorkflowHandler } from './types.js';

/** What does not depend on where a schedule is made: with `@Schedule` or with `client.schedules.create`. */
export interface SchedulePolicy {
  /**
   * When the run of the time before has not ended: `allow` starts beside it, `skip` drops the time, `queue` starts it when that
   * run has ended (which of several that waited, `catchUp` says), `cancel-previous` cancels that run.
   * @default 'allow'
   */
  overlap?: Overlap;
  /**
   * Times that are more than a minute late, as after a downtime of all processes: `last` starts the latest of them, `all` each in
   * order, `skip` none @default 'last'
   */
  catchUp?: CatchUp;
  /** of the runs, beside `schedule:<id>`, which all of them carry; at most 63 */
  labels?: string[];
}

/** One time of a schedule. */
export interface ScheduleSlot {
  readonly schedule: string;
  /** the time that was planned; the run may start later */
  readonly scheduledAt: Date;
}

/** Options of `@Schedule`. */
export type ScheduleOptions<P = unknown> = ScheduleTimes &
  SchedulePolicy & {
    /** id of the schedule, unique in the database @default the workflow's name, and `name/2`, `name/3` for further ones of a class */
    name?: string;
    /**
     * Payload of its runs. A function gets the time that is planned and gives the payload at once; it is called in the process that
     * starts the run. When it throws, that is logged and tried again after half a minute: the time is not lost.
     */
    payload?: P | ((slot: ScheduleSlot) => P);
  };

/** A schedule as it was declared or asked for, checked; what is kept of it besides its payload. */
export interface ScheduleRules extends Timetable {
  readonly overlap: Overlap;
  readonly catchUp: CatchUp;
  readonly labels: readonly string[];
}

/** A schedule of a class. */
export interface DeclaredSchedule extends ScheduleRules {
  readonly name: string | null;
  readonly payload: unknown;
}

const SCHEDULES = Symbol.for('nestjs-workflow:schedules');
/** one label is the schedule's own */
const MAX_LABELS = 63;
/** leaves room for what makes a run id and a label of it */
const MAX_ID = 480;

/**
 * Starts runs of this workflow by time, once across all processes. Several may stand on one class. It is written to the database
 * by each process at its boot, and there the latest definition holds: a deploy with another pattern goes on from its next time.
 *
 * A run has the id `<schedule>@<time>`, as in `nightly@2026-03-29T01:00:00.000Z`: there is one for each time, whatever crashes.
 * @throws WorkflowError WF_INVALID_SCHEDULE, WF_INVALID_ARGUMENT when the class is defined
 */
export function Schedule<P = void>(
  options: ScheduleOptions<P>,
): <C extends Type<WorkflowHandler<any, any>>>(
  target: C &
    ([P] extends [PayloadOf<InstanceType<C>>]
      ? unknown
      : unknown extends PayloadOf<InstanceType<C>>
        ? unknown
        : { error: 'the payload of @Schedule is not that of the workflow' }),
) => void {
  const checked = given('The options of @Schedule', () => {
    const what = options?.name === undefined ? '@Schedule' : `@Schedule ${shown(options.name)}`;
    const rules = checkSchedule(options, what);
    const name = options.name === undefined ? null : checkScheduleId(options.name);
    return { ...rules, name, payload: options.payload };
  });
  return (target: object) => {
    // decorators are applied from the lowest to the highest
    const declared = [checked, ...schedulesOf(target)];
    Reflect.defineMetadata(SCHEDULES, declared, target);
  };
}

/** Schedules that stand on a class itself (not on a class that it extends), in the order in which they are written. */
export const schedulesOf = (target: object): readonly DeclaredSchedule[] =>
  Reflect.getOwnMetadata(SCHEDULES, target) ?? [];

/** @throws WorkflowError WF_INVALID_SCHEDULE, WF_INVALID_ARGUMENT */
export function checkSchedule(given: ScheduleTimes & SchedulePolicy, what: string): ScheduleRules {
  if (typeof given !== 'object' || given === null) throw invalid(what, 'has no options');
  const { overlap = 'allow', catchUp = 'last', labels = [] } = given;
  if (!OVERLAPS.includes(overlap))
    throw invalid(what, `has \`overlap\` ${shown(overlap)}; it is one of ${OVERLAPS.join(', ')}`);
  if (!CATCH_UPS.includes(catchUp))
    throw invalid(what, `has \`catchUp\` ${shown(catchUp)}; it is one of ${CATCH_UPS.join(', ')}`);
  if (!Array.isArray(labels) || labels.length > MAX_LABELS)
    throw invalid(what, `has \`labels\` that are not an array of at most ${MAX_LABELS}`);
  return {
    ...parseTimetable(given, what),
    overlap,
    catchUp,
    // holes are no labels either
    labels: Array.from(labels, (label) => checkName(label, `A label of ${what}`)),
  };
}

/** @throws WorkflowError WF_INVALID_ARGUMENT */
export function checkScheduleId(id: unknown): string {
  const name = checkName(id, 'The id of a schedule');
  if (name.length > MAX_ID)
    throw new WorkflowError(
      'WF_INVALID_ARGUMENT',
      `The id of a schedule is longer than ${MAX_ID} characters`,
    );
  return name;
}
