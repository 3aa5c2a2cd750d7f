import { readSafely } from './brands.js';

/** A server that asks for more is asked again after a day: it may be wrong, and the run would be lost from sight. */
const MAX_MS = 86_400_000;
/** The statuses with which HTTP defines the header as the time of the next try; with 3xx it means something else. */
const STATUSES: readonly unknown[] = [429, 503];
/** Headers of one response; a Proxy may list them without end. */
const MAX_HEADERS = 1000;

/** The three forms of a date that RFC 9110 asks a recipient to understand; `Date.parse` alone takes nearly any text. */
const DATES: readonly RegExp[] = [
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/,
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT$/,
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} (?:\d| )\d \d\d:\d\d:\d\d \d{4}$/,
];

/**
 * Milliseconds that the value of a `Retry-After` header asks to wait from `now` on: a number of seconds, or an HTTP date
 * (0 when it has passed). At most 24 hours; undefined for anything else.
 * @param now ms since epoch
 */
export function parseRetryAfter(text: string, now: number): number | undefined {
  const trimmed = text.trim();
  if (/^\d{1,15}(\.\d{1,9})?$/.test(trimmed)) return Math.min(MAX_MS, Math.round(Number(trimmed) * 1000));
  if (!DATES.some((date) => date.test(trimmed))) return undefined;
  const at = Date.parse(trimmed.endsWith('GMT') ? trimmed : `${trimmed} GMT`);
  return Number.isNaN(at) ? undefined : Math.min(MAX_MS, Math.max(0, at - now));
}

/**
 * The same of something thrown that carries the header of an HTTP response: `error.response.headers` (axios, got) or
 * `error.headers` (undici, openai, a thrown Response), as an object, a Map or Headers. Only when its status, where it
 * says one, is 429 or 503. Never throws; what makes no sense counts as absent.
 */
export function retryAfterOf(thrown: unknown, now: number): number | undefined {
  const response = readSafely(thrown, 'response');
  for (const carrier of [response, thrown]) {
    const value = headerOf(readSafely(carrier, 'headers'));
    if (value === undefined) continue;
    const status = statusOf(carrier) ?? statusOf(thrown);
    return status === undefined || STATUSES.includes(status) ? parseRetryAfter(value, now) : undefined;
  }
  return undefined;
}

function statusOf(carrier: unknown): number | undefined {
  const status = readSafely(carrier, 'status') ?? readSafely(carrier, 'statusCode');
  return typeof status === 'number' ? status : undefined;
}

function headerOf(headers: unknown): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  for (const name of ['retry-after', 'Retry-After']) {
    const value = textOf(got(headers, name));
    if (value !== undefined) return value;
  }
  try {
    const name = Object.keys(headers)
      .slice(0, MAX_HEADERS)
      .find((key) => key.toLowerCase() === 'retry-after');
    return name === undefined ? undefined : textOf(readSafely(headers, name));
  } catch {
    return undefined;
  }
}

function got(headers: object, name: string): unknown {
  const get = readSafely(headers, 'get');
  try {
    return typeof get === 'function' ? (get.call(headers, name) as unknown) : undefined;
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string | undefined {
  const first: unknown = Array.isArray(value) ? readSafely(value, 0) : value;
  return typeof first === 'string' || typeof first === 'number' ? String(first) : undefined;
}
