import { WorkflowError } from '../errors/index.js';
import { brand, NON_RETRYABLE, RETRY_AFTER } from './brands.js';
import type { RetryPolicy } from './retry.js';

/** The longest time one attempt of a call may take: 12 hours. */
export const MAX_CALL_MS = 12 * 3_600_000;

/** Bytes as text: as they are where they are text, in base64 where they are not. */
export interface StoredBody {
  readonly encoding: 'utf8' | 'base64';
  readonly data: string;
}

/** An external call as it is stored with its step: plain JSON. */
export interface CallRequest {
  /** absolute, http or https */
  readonly url: string;
  /** upper case */
  readonly method: string;
  /** names in lower case */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: StoredBody | null;
  /** limit of one attempt, redirects and body included; at most `MAX_CALL_MS` */
  readonly timeoutMs: number;
  /** a status beyond 2xx is a failure of the step, instead of a value */
  readonly throwOnError: boolean;
  /** `follow`: up to 10 redirects; `manual`: a redirect is a response like any other */
  readonly redirect: 'follow' | 'manual';
  readonly retry: RetryPolicy<string>;
}

/** What an external call gives. */
export interface CallResponse<B = unknown> {
  readonly status: number;
  /** names in lower case; what came more than once is joined by `, `, and `set-cookie` by line breaks */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * JSON types are parsed (what is no JSON stays text), text, forms and XML are a string, everything else a Buffer. An empty body
   * is `''` for types of text, and undefined otherwise.
   */
  readonly body: B;
}

/** What became of one attempt of an external call. */
export type CallOutcome =
  { readonly ok: true; readonly value: CallResponse } | { readonly ok: false; readonly error: CallError };

/** Why an external call has no answer. */
export type CallErrorCode =
  'WF_CALL_DENIED' | 'WF_CALL_FAILED' | 'WF_CALL_TIMEOUT' | 'WF_CALL_TOO_LARGE' | 'WF_CALL_STATUS';

/** What is known of a failed call besides its message. */
export interface CallErrorOptions {
  /** true: another attempt would end the same way */
  readonly final?: boolean;
  /** when the server said from when on it may be asked again, in ms from now */
  readonly retryAfterMs?: number;
  /** of a status: what came */
  readonly data?: CallErrorData;
  readonly cause?: unknown;
}

/** What the journal keeps of a failed call. */
export interface CallErrorData {
  readonly status: number;
  /** parsed JSON, or text; left out when it is neither, or longer than 4 KiB */
  readonly body?: unknown;
}

/** One attempt of an external call has failed. The message names the URL without user, password and query. */
export class CallError extends WorkflowError {
  readonly data?: CallErrorData;

  constructor(code: CallErrorCode, what: string, options: CallErrorOptions = {}) {
    super(code, what, 'cause' in options ? { cause: options.cause } : undefined);
    const { final, retryAfterMs, data } = options;
    if (data !== undefined) this.data = data;
    if (final === true) brand(this, NON_RETRYABLE, true);
    if (retryAfterMs !== undefined) brand(this, RETRY_AFTER, { retryAfterMs });
  }
}

/** Where a call goes, without what may be secret in it: no user, password, query. Never throws. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return 'what is no URL';
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname.length > 200 ? `${pathname.slice(0, 200)}…` : pathname}`;
}

/**
 * The request with the header `idempotency-key`, unless it has one: a call is made at least once, and this lets the other side
 * see that it has met the same call before.
 * @param key the step's idempotency key; what no header may hold of it is written as a URL would
 */
export function withIdempotencyKey(request: CallRequest, key: string): CallRequest {
  const value = /^[\x21-\x7e]+$/.test(key) ? key : encodeURI(key.toWellFormed());
  return { ...request, headers: { 'idempotency-key': value, ...request.headers } };
}

/** Statuses that say "not now", besides 5xx. */
const AGAIN: readonly number[] = [408, 425, 429];
const SHOWN_BYTES = 4096;

/**
 * What a response means. Any status is a value, unless the call says `throwOnError`: then 408, 425, 429 and 5xx are failures
 * that are tried again, at the time the server asks for, and what is left beyond 2xx is final.
 * @param retryAfterMs what the server said in `Retry-After`
 */
export function decideCall(
  request: Pick<CallRequest, 'url' | 'method' | 'throwOnError'>,
  response: CallResponse,
  retryAfterMs?: number,
): CallOutcome {
  const { status, body } = response;
  if (!request.throwOnError || (status >= 200 && status < 300)) return { ok: true, value: response };
  const again = AGAIN.includes(status) || status >= 500;
  const what = `${request.method} ${shownUrl(request.url)} was answered ${status}`;
  const error = new CallError('WF_CALL_STATUS', what, {
    final: !again,
    data: { status, ...(isShown(body) && { body }) },
    ...(again && retryAfterMs !== undefined && { retryAfterMs }),
  });
  return { ok: false, error };
}

function isShown(body: unknown): boolean {
  if (body === undefined || body instanceof Uint8Array) return false;
  return JSON.stringify(body).length <= SHOWN_BYTES;
}
