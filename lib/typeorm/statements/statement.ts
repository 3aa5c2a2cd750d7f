import type { Tables } from '../tables.js';

/** A hand-written statement: its name (prepared once a connection under it) and its text for the tables of a schema. */
export interface Statement {
  readonly name: string;
  readonly text: (t: Tables) => string;
}

/** Times travel as ms since epoch: a number has no time zone and no format. */
export const toTime = (ms: string): string => `to_timestamp(${ms} / 1000.0)`;
export const toMs = (time: string): string => `(extract(epoch from ${time}) * 1000)::float8`;

/** The time of every statement: the database's own, unless a test says otherwise. */
export const CLOCK = (parameter: string): string =>
  `clock as materialized (select coalesce(${toTime(`${parameter}::float8`)}, now()) as now)`;

/**
 * The clock of a statement that carries items of many callers: it waits for a lock no longer than this, as one of them may be
 * held by a transaction that stays open. For this statement alone, and set when the clock is read: read it before any lock.
 */
export const IMPATIENT_CLOCK = (parameter: string, patience = `'500ms'`): string =>
  `clock as materialized (
  select coalesce(${toTime(`${parameter}::float8`)}, now()) as now, set_config('lock_timeout', ${patience}, true)
)`;

/**
 * Priority of the task of a run that waits for its singleton key. No claim looks there, so that it may become due (by an event, by
 * time) and does not start before the hand-over gives it its own.
 */
export const PARKED = 32767;

/** Columns of a journal row, in the order of {@link stepColumns}. */
export const STEP_COLUMNS = `
  s.key, s.name, s.kind, s.state, s.position, s.value, s.failure, s.attempts,
  ${toMs('s.asked_at')} as asked_at, ${toMs('s.finished_at')} as finished_at, ${toMs('s.wake_at')} as wake_at,
  s.event, s.event_id, s.dispatched, s.digest, s.request`;

/** The queue of a run, as `queueOf` of the engine names it. */
export const QUEUE = (workflow: string, version: string): string =>
  `${workflow} || coalesce('@' || ${version}, '')`;

/**
 * Tasks of external calls stand in a queue beside that of their workflow: they are made by the engine, have places of their
 * own, and full places must not make a claim step over them. No workflow's name may end so.
 */
export const callQueue = (workflow: string): string => `${workflow} || '@call'`;
