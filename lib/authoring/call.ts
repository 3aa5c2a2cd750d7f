import { MAX_CALL_MS, type CallRequest, type StoredBody } from '../engine/call.js';
import { parseDuration, type Duration } from '../engine/duration.js';
import { given } from '../engine/given.js';
import type { FlowControl } from '../engine/flow-control.js';
import type { RetryPolicy, StorableRetryOptions } from '../engine/retry.js';
import { WorkflowError } from '../errors/index.js';

/** A request of `ctx.call`. The workflow's `stepDefaults` and the module's `steps` fill what is left out of the retries. */
export interface CallOptions extends StorableRetryOptions {
  /** absolute, http or https; user and password in it become an `authorization` header */
  url: string | URL;
  /** @default 'GET' */
  method?: string;
  /** one that is undefined is left out. `idempotency-key` is added, the same for all attempts, unless it is given */
  headers?: Readonly<Record<string, string | undefined>>;
  /**
   * a string is sent as it is, bytes (Buffer, typed array, ArrayBuffer) too, URLSearchParams as a form, anything else as JSON.
   * `content-type` is set to match, unless it is given @default none
   */
  body?: unknown;
  /** limit of one attempt, redirects and response body included; at most 12 h @default that of the module, 2 minutes */
  timeout?: Duration;
  /** true: a status other than 2xx is a failure; 408, 425, 429 and 5xx are tried again @default false: it is a value */
  throwOnError?: boolean;
  /** `manual`: a redirect is a response like any other @default 'follow', 10 at most */
  redirect?: 'follow' | 'manual';
  /** limits for all calls (and whatever else) with this key; that of the run does not cover its calls */
  flowControl?: FlowControl;
}

export interface CallDefaults {
  readonly retry: RetryPolicy<string>;
  readonly timeoutMs: number;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** They belong to the connection, which is ours. */
const OURS: readonly string[] = [
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/**
 * What is stored of a call, checked.
 * @param name of the call, for the errors
 * @throws WorkflowError WF_INVALID_ARGUMENT, WF_INVALID_DURATION, WF_NOT_SERIALIZABLE; never naming a value of a header or of the
 * body, or the secrets in a URL
 */
export function callRequest(name: string, options: CallOptions, defaults: CallDefaults): CallRequest {
  const refuse: Refuse = (what, code = 'WF_INVALID_ARGUMENT', cause) => {
    throw new WorkflowError(code, `ctx.call("${name}") ${what}`, { cause });
  };
  if (typeof options !== 'object' || options === null) return refuse('needs an object with a `url`');
  return given(`What ctx.call("${name}") is given`, () => checkedRequest(options, defaults, refuse));
}

type Refuse = (what: string, code?: 'WF_INVALID_ARGUMENT' | 'WF_NOT_SERIALIZABLE', cause?: unknown) => never;

function checkedRequest(options: CallOptions, defaults: CallDefaults, refuse: Refuse): CallRequest {
  const { throwOnError = false, redirect = 'follow' } = options;
  if (typeof throwOnError !== 'boolean') refuse('has a `throwOnError` that is neither true nor false');
  if (redirect !== 'follow' && redirect !== 'manual')
    refuse("has a `redirect` that is neither 'follow' nor 'manual'");
  const method = methodOf(options.method, refuse);
  const body = bodyOf(options.body, refuse);
  if (body && (method === 'GET' || method === 'HEAD')) refuse(`has a body, and ${method} takes none`);
  const headers = headersOf(options.headers, refuse);
  return {
    url: urlOf(options.url, refuse),
    method,
    headers: body?.type === undefined ? headers : { 'content-type': body.type, ...headers },
    body: body?.stored ?? null,
    timeoutMs: options.timeout === undefined ? defaults.timeoutMs : timeoutOf(options.timeout, refuse),
    throwOnError,
    redirect,
    retry: defaults.retry,
  };
}

function urlOf(url: unknown, refuse: Refuse): string {
  const text = url instanceof URL ? url.href : url;
  if (typeof text !== 'string' || !URL.canParse(text)) return refuse('has a `url` that is no absolute URL');
  const parsed = new URL(text);
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    refuse(`has a \`url\` of the scheme ${parsed.protocol}, and only http and https are called`);
  }
  parsed.hash = '';
  return parsed.href;
}

function methodOf(method: unknown, refuse: Refuse): string {
  if (method === undefined) return 'GET';
  if (typeof method !== 'string' || !TOKEN.test(method)) return refuse('has a `method` that is none of HTTP');
  const upper = method.toUpperCase();
  if (upper === 'CONNECT' || upper === 'TRACE') refuse(`has the method ${upper}, which is no call`);
  return upper;
}

function headersOf(headers: unknown, refuse: Refuse): Record<string, string> {
  if (headers === undefined) return {};
  if (!isPlainObject(headers)) return refuse('has `headers` that are no plain object');
  const lower: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    const key = name.toLowerCase();
    if (!TOKEN.test(name) || key === '__proto__')
      refuse(`has a header with the name ${JSON.stringify(name)}`);
    // bytes of a header are those of Latin-1; a line break would begin another header
    if (typeof value !== 'string' || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      refuse(`has a header "${key}" that is no string, or holds characters that no header may`);
    }
    if (OURS.includes(key)) refuse(`sets the header "${key}", which belongs to the connection`);
    if (Object.hasOwn(lower, key)) refuse(`has the header "${key}" twice`);
    lower[key] = value as string;
  }
  return lower;
}

function timeoutOf(timeout: Duration, refuse: Refuse): number {
  const ms = parseDuration(timeout);
  return ms >= 1 && ms <= MAX_CALL_MS
    ? ms
    : refuse(`has the timeout ${timeout}, which is not from 1ms to 12h`);
}

interface Body {
  readonly stored: StoredBody;
  readonly type?: string;
}

function bodyOf(body: unknown, refuse: Refuse): Body | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === 'string') return { stored: text(body), type: 'text/plain;charset=UTF-8' };
  const bytes = bytesOf(body);
  if (bytes) return { stored: { encoding: 'base64', data: bytes.toString('base64') } };
  if (body instanceof URLSearchParams) {
    return { stored: text(body.toString()), type: 'application/x-www-form-urlencoded;charset=UTF-8' };
  }
  const live = liveIn(body);
  if (live !== undefined)
    refuse(`has a body that is ${live}, which cannot be stored as JSON`, 'WF_NOT_SERIALIZABLE');
  let json: string | undefined;
  try {
    json = JSON.stringify(body);
  } catch (cause) {
    refuse('has a body that JSON cannot hold', 'WF_NOT_SERIALIZABLE', cause);
  }
  if (json === undefined) return refuse('has a body that JSON cannot hold', 'WF_NOT_SERIALIZABLE');
  return { stored: text(json), type: 'application/json' };
}

const text = (data: string): StoredBody => ({ encoding: 'utf8', data });

function bytesOf(body: unknown): Buffer | undefined {
  if (ArrayBuffer.isView(body)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const tag = Object.prototype.toString.call(body);
  return tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]'
    ? Buffer.from(body as ArrayBuffer)
    : undefined;
}

/** What JSON would write as an empty object without a word. */
const LIVE: readonly string[] = ['Map', 'Set', 'Promise', 'FormData', 'Blob', 'File', 'ReadableStream'];

function liveIn(body: unknown): string | undefined {
  const tag = Object.prototype.toString.call(body).slice(8, -1);
  if (LIVE.includes(tag)) return `a ${tag}`;
  return typeof (body as { pipe?: unknown }).pipe === 'function' ? 'a stream' : undefined;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
