/** Shorter than the defaults (3 s and 10 s), so that in a minute much is lost and found again. */
export const HEARTBEAT_MS = 1000;
export const LEASE_TIMEOUT_MS = 3000;

/** Exit code of a worker that could not boot: the database was away, whoever started it starts it again. */
export const NOT_BOOTED = 75;

/** Of the connections that fire cuts: those of workers and of the driver, not those of the audit. */
export const APPLICATION = 'chaos';
export const applicationName = (of: string): string => `${APPLICATION}:${of}`;

/** What a worker is started with, as JSON in its first argument. */
export interface WorkerSettings {
  readonly url: string;
  readonly transport: 'http' | 'in-process';
  readonly name: string;
}
