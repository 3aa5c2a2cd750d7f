import { WorkflowError } from '../errors/index.js';
import { shown } from './shown.js';

/** A length of time with its unit, such as `'30s'` or `'1.5h'`; a bare number does not compile. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd' | 'w'}`;

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
/** PostgreSQL and Date both reach further; a thousand years is beyond any wait and safe in arithmetic. */
const MAX_MS = 1000 * 365.25 * 86_400_000;

/**
 * Milliseconds of a duration, rounded to whole ones.
 * @throws WorkflowError WF_INVALID_DURATION when it is not a non-negative number with one of the units, or longer than 1000 years.
 */
export function parseDuration(text: Duration): number {
  const match = typeof text === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(text) : null;
  const ms = match ? Math.round(Number(match[1]) * UNIT_MS[match[2]!]!) : NaN;
  if (!(ms <= MAX_MS)) throw new WorkflowError('WF_INVALID_DURATION', `${shown(text)} is not a duration`);
  return ms;
}

/** In the largest unit that divides it: what `parseDuration` makes the same of. */
export function formatDuration(ms: number): Duration {
  const units = Object.entries(UNIT_MS).toReversed();
  const [unit, unitMs] = units.find(([, size]) => ms % size === 0)!;
  return `${ms / unitMs}${unit as 's'}`;
}
