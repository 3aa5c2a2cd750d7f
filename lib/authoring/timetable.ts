import { Cron } from 'croner';
import { parseDuration, type Duration } from '../engine/duration.js';
import { timesEvery, type Times } from '../engine/schedule.js';
import { shown } from '../engine/shown.js';
import { WorkflowError } from '../errors/index.js';

/**
 * When a schedule starts runs: by a cron pattern in a time zone, or at a fixed interval.
 *
 * A cron pattern goes by the clock on the wall of its `timezone`. In the nights in which that is set forward or back:
 * - a pattern without `*` and `/` in seconds, minutes and hours (`30 2 * * *`, `0 2,14 * * 1`) means times of the day. One that
 *   does not exist that night is started when the clock has been set forward (02:30 at 03:00; several of them once). One that
 *   exists twice is started once, the first time.
 * - any other pattern (`0 * * * *`, with a star in its hours; a step in its minutes) means an interval. What does not exist
 *   is left out, and what exists twice is started twice: each hour that passes counts.
 */
export type ScheduleTimes =
  | {
      /**
       * Five fields (minute, hour, day of month, month, day of week), or six with seconds before them; names (`MON`, `JAN`), `L`,
       * `W`, `#` and nicknames (`@daily`). With both days given, one of them is enough, as in every cron.
       */
      cron: string;
      /** IANA name, such as `Europe/Berlin` @default 'UTC', never that of the machine */
      timezone?: string;
      every?: never;
    }
  | {
      /** At least 1 s. Counted from 1970-01-01T00:00Z, so `'1h'` means each full hour in UTC, in all processes alike. */
      every: Duration;
      cron?: never;
      timezone?: never;
    };

/** The same, checked and as it is kept. One of `cron` and `everyMs` is null. */
export interface Timetable {
  readonly cron: string | null;
  readonly everyMs: number | null;
  readonly timezone: string;
}

const LEAST_EVERY_MS = 1000;
const DEFAULT_ZONE = 'UTC';

/** @param what names the schedule in the error @throws WorkflowError WF_INVALID_SCHEDULE */
export function parseTimetable(given: ScheduleTimes, what: string): Timetable {
  const { cron, every, timezone } = given as { cron?: unknown; every?: unknown; timezone?: unknown };
  if ((cron === undefined) === (every === undefined)) {
    throw invalid(
      what,
      cron === undefined ? 'has neither `cron` nor `every`' : 'has both `cron` and `every`',
    );
  }
  return every === undefined
    ? parseCron(cron, timezone === undefined ? DEFAULT_ZONE : timezone, what)
    : parseEvery(every, timezone, what);
}

function parseEvery(every: unknown, timezone: unknown, what: string): Timetable {
  if (timezone !== undefined)
    throw invalid(what, 'has `every` and `timezone`; an interval has no time zone, a `cron` pattern has');
  let everyMs: number;
  try {
    everyMs = parseDuration(every as Duration);
  } catch (cause) {
    throw invalid(what, `has \`every\` ${shown(every)}, which is not a duration`, cause);
  }
  if (everyMs < LEAST_EVERY_MS) throw invalid(what, `has \`every\` ${shown(every)}; the least is '1s'`);
  return { cron: null, everyMs, timezone: DEFAULT_ZONE };
}

function parseCron(cron: unknown, timezone: unknown, what: string): Timetable {
  if (typeof cron !== 'string') throw invalid(what, `has \`cron\` ${shown(cron)}, which is not a text`);
  // an offset ("+02:00") is taken by some versions of Node only, and is no place with a clock on the wall
  if (typeof timezone !== 'string' || !/^[A-Za-z]/.test(timezone) || !isZone(timezone))
    throw invalid(
      what,
      `has \`timezone\` ${shown(timezone)}, which is not an IANA name such as Europe/Berlin`,
    );
  // the library would put the present in its place, another one in each process
  if (cron.includes('?')) throw invalid(what, `has \`cron\` "${cron}"; write * for ?`);
  const timetable = { cron: cron.trim(), everyMs: null, timezone };
  let pattern: Cron;
  try {
    pattern = patternOf(timetable.cron, timezone);
  } catch (cause) {
    throw invalid(what, `has \`cron\` "${cron}", which is not a pattern: ${(cause as Error).message}`, cause);
  }
  // the library also takes a date, for one time
  if (pattern.getPattern() === undefined) throw invalid(what, `has \`cron\` "${cron}", which is a date`);
  // any year will do: what has no time from then on (30 February) never has one
  if (pattern.nextRun(new Date(0)) === null)
    throw invalid(what, `has \`cron\` "${cron}", which is no day of any year`);
  return timetable;
}

function isZone(timezone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: timezone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** Without a function to call it sets no timer. */
const patternOf = (cron: string, timezone: string): Cron =>
  new Cron(cron, { timezone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard' });

/** The times of a timetable that was parsed. */
export function timesOf({ cron, everyMs, timezone }: Timetable): Times {
  if (everyMs !== null) return timesEvery(everyMs);
  const pattern = patternOf(cron!, timezone);
  return {
    next: (after) => pattern.nextRun(new Date(after))?.getTime() ?? null,
    previous: (before) => pattern.previousRuns(1, new Date(before))[0]?.getTime() ?? null,
  };
}

export function invalid(what: string, problem: string, cause?: unknown): WorkflowError {
  return new WorkflowError('WF_INVALID_SCHEDULE', `${what} ${problem}`, { cause });
}

export { shown };
