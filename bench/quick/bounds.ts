/**
 * What the quick benchmark holds the engine to. Counts, no times: they are the same on a slow machine. Where several runs share
 * a statement, how many do depends a little on the machine, and the bound leaves room for that.
 */

/** A run of 10 steps alone: its trigger, a commit a step of which the last one is the end, and one NOTIFY. Over 20 runs; the last
 * NOTIFY of the warm-up may be one more. */
export const LONE_COMMITS = 12.1;
/** In-process: the 12 writes, and what the caller's `result()` reads. */
export const LONE_STATEMENTS = 16;
/** Over HTTP the same: a process that delivers to itself goes on with what it has parked. */
export const LONE_HTTP_STATEMENTS = 16;

/** Commits of a run of 10 steps, when hundreds of them share each one: 0.08 to 0.15 were seen, over HTTP 0.17 to 0.22; the goal is 0.2. */
export const LOAD_COMMITS = 0.3;
export const LOAD_HTTP_COMMITS = 0.6;

/** 100 steps beside each other in-process, as a whole: the trigger, a flush or two, the NOTIFY, and what `result()` reads. */
export const FAN_STATEMENTS = 8;

/** Steps in a row: a statement each, nothing is read again; the rest is the trigger, the result, and polls meanwhile. */
export const ROW_STATEMENTS = 1.02;
/** Over HTTP the same, and 300 of them instead of 1,000. */
export const ROW_HTTP_STATEMENTS = 1.08;

/** One-step runs, triggered one by one by 100 callers. */
export const TRIGGERED_COMMITS = 0.2;

/** Of a process in which all runs sleep, each second: a poll a second and three statements a beat of 3 s are 2; in a window of 10 s
 * one more of each may fall. */
export const IDLE_STATEMENTS = 2.5;
