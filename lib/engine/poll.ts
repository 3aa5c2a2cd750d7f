import type { Failure } from './failure.js';
import { decideRetry, type RetryPolicy } from './retry.js';

/** How often and how long a poll looks; whole milliseconds. */
export interface PollTimes {
  /** above zero */
  readonly everyMs: number;
  /** from the moment it was first asked */
  readonly timeoutMs: number;
}

/** What one look has given: something, nothing yet, or what it threw. */
export type Seen = 'something' | 'nothing' | Failure;

/** What follows a look. `warning` is to be logged. */
export type AfterLook =
  | { readonly do: 'answer'; readonly as: 'value' | 'timed-out' | 'failure'; readonly warning?: string }
  | {
      readonly do: 'look';
      /** ms since epoch, whole, never before `now` */
      readonly at: number;
      /** looks that have failed in a row until now */
      readonly failures: number;
      readonly warning?: string;
    };

/**
 * What follows a look. The looks are at `askedAt`, and then every `everyMs` of that; a turn that has passed meanwhile (a slow
 * look, nobody there) is left out. A look that has failed is repeated by its retry policy instead, which counts the failures
 * in a row. The last look is the first one that begins at the deadline or later, and no delay reaches beyond the deadline.
 *
 * A last look that fails is a timeout while retries are left: nothing was found in time. Without, the step has failed.
 */
export function afterLook(look: {
  readonly seen: Seen;
  readonly poll: PollTimes;
  readonly policy: RetryPolicy;
  /** when the poll was first asked, when this look began, and now: ms since epoch, by the clock of the database */
  readonly askedAt: number;
  readonly startedAt: number;
  readonly now: number;
  /** looks that had failed in a row before this one */
  readonly failures: number;
  /** in [0, 1), for the jitter */
  readonly random: number;
}): AfterLook {
  const { seen, poll, policy, startedAt, now, random } = look;
  if (seen === 'something') return { do: 'answer', as: 'value' };
  // whole ms from here on: a turn that the database has rounded must not come before its time, and be looked at twice
  const askedAt = Math.floor(look.askedAt);
  const deadline = askedAt + poll.timeoutMs;
  const isLast = startedAt >= deadline;
  const lookAt = (at: number): number => Math.ceil(Math.max(now, Math.min(at, deadline)));
  if (seen === 'nothing') {
    if (isLast) return { do: 'answer', as: 'timed-out' };
    const turn = Math.floor((now - askedAt) / poll.everyMs) + 1;
    return { do: 'look', at: lookAt(askedAt + turn * poll.everyMs), failures: 0 };
  }
  const failures = look.failures + 1;
  const again = decideRetry({ policy, attempts: failures, failure: seen, now, random });
  if (!again.retry) return { do: 'answer', as: 'failure' };
  if (isLast) {
    return { do: 'answer', as: 'timed-out', warning: `timed out, and its last look failed: ${seen.message}` };
  }
  const { warning } = again;
  return { do: 'look', at: lookAt(again.at), failures, ...(warning !== undefined && { warning }) };
}

/** The failures in a row as the `request` of a pending poll keeps them. */
export const encodeFailures = (failures: number): string | null =>
  failures === 0 ? null : JSON.stringify({ failures });

export const decodeFailures = (request: string | null): number =>
  request === null ? 0 : (JSON.parse(request) as { failures: number }).failures;
