import { WorkflowError } from '../errors/index.js';
import {
  NON_RETRYABLE,
  RETRY_AFTER,
  STEP_FAILED,
  readSafely,
  type RetryAfter,
  type StepFailure,
} from './brands.js';
import { retryAfterOf } from './retry-after.js';

/** What is journaled of something thrown. Plain JSON: encoding and decoding it changes nothing. */
export interface Failure {
  /** `name` of the error, or the name of its class where the class does not set one */
  readonly name: string;
  /** at most 8 KiB of UTF-8, without NUL characters */
  readonly message: string;
  /** class names along the prototype chain, most derived first, without Error and Object */
  readonly names?: readonly string[];
  readonly code?: string;
  /** at most 8 KiB of UTF-8 */
  readonly stack?: string;
  /** what JSON holds of the error's own `data`, or of a thrown object that is no error; left out above 8 KiB.
   * Other properties are not kept: those of HTTP clients carry headers with credentials. */
  readonly data?: unknown;
  /** `false`: trying again is pointless (`NonRetryableError`, or a result that cannot be stored) */
  readonly retryable?: false;
  /** wait this long before the next attempt, in milliseconds */
  readonly retryAfterMs?: number;
  /** not before this moment, ms since epoch */
  readonly retryAt?: number;
  /** of a StepFailedError: the step; `cause` is what it threw */
  readonly step?: { readonly key: string; readonly attempts: number };
  readonly cause?: Failure;
}

const TEXT_BYTES = 8192;
const SHORT_BYTES = 256;
/** Deeper causes are left out; also ends cycles that are made of ever new objects. */
const MAX_CAUSES = 8;
const MAX_NAMES = 16;
/** The step has done its work already, and would only do it again to give the same unusable value. */
const FINAL_CODES = ['WF_NOT_SERIALIZABLE', 'WF_TOO_LARGE', 'WF_NOT_STORABLE'] as const;

/**
 * Whatever was thrown, as plain data. Never throws; every text and the depth of causes are bounded.
 * @param now ms since epoch: with it a `Retry-After` header that the error carries is read, see {@link retryAfterOf}
 */
export function toFailure(thrown: unknown, now?: number): Failure {
  const failure = describe(thrown, []);
  if (now === undefined || failure.retryAfterMs !== undefined || failure.retryAt !== undefined)
    return failure;
  const retryAfterMs = retryAfterOf(thrown, now);
  return retryAfterMs === undefined ? failure : { ...failure, retryAfterMs };
}

/** Failure to JSON text; safe for a PostgreSQL `text` column. */
export function encodeFailure(failure: Failure): string {
  return JSON.stringify(failure);
}

/** @throws SyntaxError for a text that `encodeFailure` did not write */
export function decodeFailure(text: string): Failure {
  const value: unknown = JSON.parse(text);
  if (typeof readSafely(value, 'name') !== 'string' || typeof readSafely(value, 'message') !== 'string') {
    throw new SyntaxError('Not the text of a recorded failure');
  }
  return value as Failure;
}

function describe(thrown: unknown, above: readonly unknown[]): Failure {
  if (typeof thrown !== 'object' || thrown === null) {
    return {
      name: 'Error',
      message: typeof thrown === 'string' ? cut(thrown) : `${show(thrown)} was thrown, not an Error`,
    };
  }
  return isError(thrown) ? describeError(thrown, above) : describeObject(thrown);
}

function describeObject(thrown: object): Failure {
  const data = jsonOf(thrown);
  const said = readSafely(thrown, 'message');
  const message = typeof said === 'string' && said !== '' ? cut(said) : undefined;
  const code = codeOf(thrown);
  return {
    name: nameOf(thrown, []),
    message:
      message ??
      `An object was thrown, not an Error${data === undefined ? '' : `: ${cut(JSON.stringify(data), SHORT_BYTES)}`}`,
    ...(code !== undefined && { code }),
    ...(data !== undefined && { data }),
  };
}

function describeError(error: object, above: readonly unknown[]): Failure {
  const names = classNames(error);
  const code = codeOf(error);
  const own = show(readSafely(error, 'message') ?? '');
  const message = cut([own, aggregated(error)].filter((part) => part !== '').join(' '));
  const stack = stackOf(error, own);
  const data = jsonOf(readSafely(error, 'data'));
  const retryAfter = readSafely(error, RETRY_AFTER) as RetryAfter | undefined;
  const step = readSafely(error, STEP_FAILED) as StepFailure | undefined;
  const cause = step ? step.failure : causeOf(error, [...above, error]);
  return {
    name: nameOf(error, names),
    message,
    ...(names.length > 0 && { names }),
    ...(code !== undefined && { code }),
    ...(stack !== undefined && { stack }),
    ...(data !== undefined && { data }),
    ...(isFinal(error) && { retryable: false as const }),
    ...retryAfter,
    ...(step && { step: { key: step.key, attempts: step.attempts } }),
    ...(cause && { cause }),
  };
}

function isFinal(error: object): boolean {
  return (
    readSafely(error, NON_RETRYABLE) === true || FINAL_CODES.some((code) => WorkflowError.is(error, code))
  );
}

/** An error of this realm or another one, or an object made to look like one (many libraries do). */
function isError(thrown: object): boolean {
  try {
    if (thrown instanceof Error) return true;
  } catch {
    // a Proxy that does not want to be looked at
  }
  return typeof readSafely(thrown, 'message') === 'string' && typeof readSafely(thrown, 'stack') === 'string';
}

function classNames(error: object): string[] {
  const names: string[] = [];
  try {
    let prototype: unknown = Object.getPrototypeOf(error);
    // a Proxy may answer with an endless chain, hence the bound
    for (let i = 0; i < MAX_NAMES && prototype !== null; i++) {
      const name: unknown = (prototype as object).constructor?.name;
      if (name === 'Error' || name === 'Object') break;
      if (typeof name === 'string' && name !== '') names.push(cut(name, SHORT_BYTES));
      prototype = Object.getPrototypeOf(prototype);
    }
  } catch {
    // what was found until then
  }
  return names;
}

/** `class CardDeclined extends Error` without a `name` of its own inherits "Error"; its class says more. */
function nameOf(error: object, names: readonly string[]): string {
  const name = readSafely(error, 'name');
  const shown = typeof name === 'string' && name !== '' ? cut(name, SHORT_BYTES) : 'Error';
  return shown === 'Error' || names.indexOf(shown) > 0 ? (names[0] ?? shown) : shown;
}

function codeOf(thrown: object): string | undefined {
  const code = readSafely(thrown, 'code');
  return typeof code === 'string' || typeof code === 'number' ? cut(String(code), SHORT_BYTES) : undefined;
}

function stackOf(error: object, message: string): string | undefined {
  const stack = readSafely(error, 'stack');
  if (typeof stack !== 'string') return undefined;
  // the head repeats the message; a long one would leave no room for the frames
  const frames = message.length > SHORT_BYTES ? stack.indexOf('\n    at ') : -1;
  return cut(frames < 0 ? stack : stack.slice(frames + 1));
}

/** The first few messages of an AggregateError (`Promise.any`, a refused connection), which often has none itself. */
function aggregated(error: object): string {
  const errors = errorsOf(error);
  if (errors.length === 0) return '';
  const shown = errors.slice(0, 3).map((one) => cut(headline(one), SHORT_BYTES));
  return `(${errors.length} ${errors.length === 1 ? 'error' : 'errors'}: ${shown.join('; ')}${errors.length > 3 ? '; …' : ''})`;
}

function errorsOf(error: object): readonly unknown[] {
  const errors = readSafely(error, 'errors');
  try {
    // a copy, because a Proxy of an array may change its mind; validation libraries have an `errors` of another kind
    return error instanceof AggregateError && Array.isArray(errors) ? [...(errors as unknown[])] : [];
  } catch {
    return [];
  }
}

/** Without looking at causes or inner errors, which may lead back here. */
function headline(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return show(thrown);
  return `${nameOf(thrown, classNames(thrown))}: ${show(readSafely(thrown, 'message') ?? '')}`;
}

function causeOf(error: object, above: readonly unknown[]): Failure | undefined {
  const cause = readSafely(error, 'cause') ?? errorsOf(error)[0];
  if (cause === undefined || above.includes(cause) || above.length > MAX_CAUSES) return undefined;
  return describe(cause, above);
}

/** What JSON holds of a value (a Date as its ISO text); undefined when it holds nothing, throws or is too large. */
function jsonOf(value: unknown): unknown {
  try {
    const text = JSON.stringify(value) as string | undefined;
    return text === undefined || Buffer.byteLength(text) > TEXT_BYTES
      ? undefined
      : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

function show(value: unknown): string {
  try {
    return typeof value === 'function' ? 'A function' : String(value);
  } catch {
    return '(unreadable)';
  }
}

/** NUL is refused by PostgreSQL in `text`; the replacement character shows that something was there. */
function cut(text: string, bytes = TEXT_BYTES): string {
  const clean = text.replaceAll('\0', '\uFFFD');
  // at most 3 bytes for a UTF-16 unit: short texts need no counting
  if (clean.length * 3 <= bytes || Buffer.byteLength(clean) <= bytes) return clean;
  const { read } = new TextEncoder().encodeInto(clean, new Uint8Array(bytes - 3));
  return `${clean.slice(0, read)}…`;
}
