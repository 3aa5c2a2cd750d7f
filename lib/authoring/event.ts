import { readSafely } from '../engine/brands.js';
import { WorkflowError } from '../errors/index.js';

declare const EVENT: unique symbol;

/** One event, with the type of its data: `Paid('order-7')`. */
export interface EventToken<T> {
  readonly id: string;
  readonly [EVENT]?: T;
}

/** An event by its id, or by a token that knows the type of its data. */
export type EventRef<T> = string | EventToken<T>;

/** What `waitForEvent` with a timeout gives. */
export type EventResult<T> = { timedOut: false; data: T } | { timedOut: true; data: undefined };

/**
 * Names a kind of event once, with the type of its data, so that the waiting and the notifying side cannot differ.
 * @example const Paid = defineEvent<{ amount: number }>('paid'); // Paid('order-7').id === 'paid:order-7'
 */
export function defineEvent<T>(name: string): (key: string) => EventToken<T> {
  return (key) => ({ id: `${name}:${key}` });
}

/** @throws WorkflowError WF_INVALID_ARGUMENT for an empty id, one with a NUL character, or longer than 512 characters */
export function eventId(event: EventRef<unknown>): string {
  return checkName(typeof event === 'string' ? event : readSafely(event, 'id'), 'The event id');
}

/** Names go into the database as they are: text there holds no NUL, and indexes hold no novels. */
export function checkName(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '')
    throw new WorkflowError('WF_INVALID_ARGUMENT', `${what} must be a string that is not empty`);
  if (value.length > 512)
    throw new WorkflowError('WF_INVALID_ARGUMENT', `${what} is longer than 512 characters`);
  if (value.includes('\0'))
    throw new WorkflowError(
      'WF_INVALID_ARGUMENT',
      `${what} ${JSON.stringify(value)} contains a NUL character`,
    );
  if (!value.isWellFormed())
    throw new WorkflowError(
      'WF_INVALID_ARGUMENT',
      `${what} ${JSON.stringify(value)} contains half of a character (a lone surrogate)`,
    );
  return value;
}
