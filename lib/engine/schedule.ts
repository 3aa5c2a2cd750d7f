/**
 * What is done with the times of a schedule that came while nobody looked (all processes were down, or could not reach the
 * database). `skip`: they are not started. `last`: only the latest of them. `all`: each, in order.
 */
export type CatchUp = 'skip' | 'last' | 'all';

/**
 * What is done with a time when the run of the time before has not ended. `allow`: it starts beside it. `skip`: the time is
 * dropped. `queue`: it starts when that run has ended. `cancel-previous`: that run is cancelled, and it starts.
 */
export type Overlap = 'allow' | 'skip' | 'queue' | 'cancel-previous';

export const CATCH_UPS: readonly CatchUp[] = ['skip', 'last', 'all'];
export const OVERLAPS: readonly Overlap[] = ['allow', 'skip', 'queue', 'cancel-previous'];

/** The times of a schedule, in ms. */
export interface Times {
  /** the first one later than `after`; null when there is none */
  next(after: number): number | null;
  /** the last one earlier than `before`; null when there is none */
  previous(before: number): number | null;
}

/** A time is missed when it is later than this. What is late by less is on time: a busy moment is no downtime. */
export const MISSED_AFTER_MS = 60_000;
/** Times that one decision starts at most; the rest is left for the next one. */
export const MOST_AT_ONCE = 1000;

export interface DueSchedule {
  /** the earliest time that has not been decided on; not later than `now` */
  readonly nextAt: number;
  readonly now: number;
  readonly catchUp: CatchUp;
  readonly overlap: Overlap;
  /** the run of the time that was started last has not ended */
  readonly previousActive: boolean;
}

export interface ScheduleDecision {
  /** the times to be started now, in order */
  readonly starts: readonly number[];
  /** the run of the time before is to be cancelled, in the same commit */
  readonly cancelPrevious: boolean;
  /** the earliest time that is left to be decided on; null: never again */
  readonly nextAt: number | null;
}

/** Decides on the times that have come. Each time is in exactly one decision: as a start, or passed over by `nextAt`. */
export function decideSchedule(times: Times, due: DueSchedule): ScheduleDecision {
  const { now, overlap, previousActive } = due;
  const wanted = wantedTimes(times, due);
  const decided = (starts: readonly number[], nextAt = times.next(now)): ScheduleDecision => ({
    starts,
    cancelPrevious: overlap === 'cancel-previous' && previousActive && starts.length > 0,
    nextAt,
  });
  switch (overlap) {
    case 'allow':
      return decided(wanted, wanted.length < MOST_AT_ONCE ? times.next(now) : times.next(wanted.at(-1)!));
    case 'skip':
      // once the first has started, the others find it active
      return decided(previousActive ? [] : wanted.slice(0, 1));
    case 'queue':
      if (previousActive) return decided([], due.nextAt);
      return decided(wanted.slice(0, 1), wanted[1]);
    case 'cancel-previous':
      // the others would be started to be cancelled
      return decided(wanted.slice(-1));
  }
}

/** The times up to now that `catchUp` lets through, from the earliest on. */
function wantedTimes(times: Times, { nextAt, now, catchUp }: DueSchedule): number[] {
  const onTime = now - MISSED_AFTER_MS;
  if (catchUp === 'all' || nextAt >= onTime) return range(times, nextAt, now);
  if (catchUp === 'skip') return range(times, times.next(onTime - 1), now);
  // never before nextAt: the rules of a time zone may have changed since that was reckoned
  return [Math.max(nextAt, times.previous(now + 1) ?? nextAt)];
}

function range(times: Times, from: number | null, until: number): number[] {
  const found: number[] = [];
  for (let at = from; at !== null && at <= until && found.length < MOST_AT_ONCE; at = times.next(at))
    found.push(at);
  return found;
}

/** Every so many ms, counted from 1970-01-01T00:00Z: the same times in every process and after every deploy. */
export const timesEvery = (ms: number): Times => ({
  next: (after) => (Math.floor(after / ms) + 1) * ms,
  previous: (before) => (Math.ceil(before / ms) - 1) * ms,
});

/** The id of the run of one time. Whoever starts that time again, in whichever process, finds the run that is there. */
export const scheduledRunId = (schedule: string, at: number): string =>
  `${schedule}@${new Date(at).toISOString()}`;

/** A label of all runs of a schedule. */
export const scheduleLabel = (schedule: string): string => `schedule:${schedule}`;
