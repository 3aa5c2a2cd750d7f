import type { Agent, buildConnector, Dispatcher } from 'undici';
import { CallError, decideCall, MAX_CALL_MS, shownUrl } from '../engine/call.js';
import { parseRetryAfter } from '../engine/retry-after.js';
import {
  CallPerformer,
  type CallOutcome,
  type CallRequest,
  type CallResponse,
  type Clock,
} from '../ports/index.js';
import type { AddressGuard } from './call-address.js';
import { ACCEPT_ENCODING, bodyOf, BodyTooLarge, decodeBody, readBody, wireLimit } from './call-body.js';
import { hopTo, redirected, type Hop } from './call-redirect.js';
import { reasonOf } from './exchange.js';
import { loadUndici, type Undici } from './undici.js';

export interface CallClientOptions {
  readonly guard: AddressGuard;
  readonly clock: Clock;
  /** longest response body, decompressed, in bytes */
  readonly maxResponseBytes: number;
  /** limit of making one connection @default 10000 */
  readonly connectTimeoutMs?: number;
}

/** Statuses that never have a body, whatever their headers say. */
const BODILESS: readonly number[] = [204, 205, 304];
const DEFAULT_HEADERS: Readonly<Record<string, string>> = {
  accept: '*/*',
  'accept-encoding': ACCEPT_ENCODING,
  'user-agent': 'nestjs-workflow',
};

/** External calls over kept connections; every address is checked as it is connected to, redirects included. */
export class CallClient extends CallPerformer {
  /** made with the first call */
  #agent: Promise<Agent> | undefined;
  #closed = false;
  readonly #options: CallClientOptions;

  constructor(options: CallClientOptions) {
    super();
    this.#options = options;
  }

  async perform(request: CallRequest, signal: AbortSignal): Promise<CallOutcome> {
    signal.throwIfAborted();
    const what = `${request.method} ${shownUrl(request.url)}`;
    const timeoutMs = Math.min(request.timeoutMs, MAX_CALL_MS);
    const stop = new AbortController();
    // raced against, so that nothing that ignores its signal holds up the outcome
    const stopped = new Promise<never>((_resolve, reject) => {
      stop.signal.addEventListener('abort', () => reject(stop.signal.reason as Error), { once: true });
    });
    const onAbort = (): void => stop.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const callOff = this.#options.clock.after(timeoutMs, () =>
      stop.abort(new CallError('WF_CALL_TIMEOUT', `${what} was not answered in full within ${timeoutMs} ms`)),
    );
    try {
      const response = await Promise.race([this.#follow(request, what, stop.signal), stopped]);
      return decideCall(request, response, retryAfterOf(response.headers));
    } catch (error) {
      signal.throwIfAborted();
      return { ok: false, error: callError(error, what) };
    } finally {
      callOff();
      signal.removeEventListener('abort', onAbort);
      // whatever is still under way of it; the promise that lost the race is nobody's any more
      stop.abort(new Error('The call is over'));
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#agent)?.destroy();
  }

  async #open(): Promise<Agent> {
    const undici = await loadUndici();
    return new undici.Agent({
      connect: connectorOf(undici, this.#options),
      pipelining: 1,
      // the time of the call is its own limit, up to 12 h; a dead peer is found by TCP keep-alive
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  async #follow(request: CallRequest, what: string, signal: AbortSignal): Promise<CallResponse> {
    const { method, body } = request;
    const bytes = body === null ? undefined : Buffer.from(body.data, body.encoding);
    let hop = hopTo(new URL(request.url), method, { ...DEFAULT_HEADERS, ...request.headers }, bytes);
    for (let made = 0; ; made++) {
      const response = await this.#send(hop, signal);
      // a body that breaks when nobody reads it yet, or no more, must not end the process
      response.body.on('error', () => {});
      const headers = joined(response.headers);
      const next =
        request.redirect === 'manual'
          ? undefined
          : redirected(hop, response.statusCode, headers['location'], made);
      if (next === undefined) return await this.#read(response, headers, hop.method, what);
      response.body.destroy();
      hop = next;
    }
  }

  async #send({ url, method, headers, body }: Hop, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    // an agent that is made now would never be closed; one that was closed says so itself
    if (this.#closed && !this.#agent) throw new Error('the client is closed');
    const agent = await (this.#agent ??= this.#open());
    const { origin, pathname, search } = url;
    const options = { origin, path: pathname + search, headers, signal, ...(body && { body }) };
    return agent.request({ ...options, method });
  }

  async #read(
    { statusCode: status, body }: Dispatcher.ResponseData,
    received: CallResponse['headers'],
    method: string,
    what: string,
  ): Promise<CallResponse> {
    const { maxResponseBytes: limit } = this.#options;
    try {
      const longest = wireLimit(received, limit);
      const bodiless = method === 'HEAD' || BODILESS.includes(status);
      if (!bodiless && Number(received['content-length'] ?? 0) > longest) throw new BodyTooLarge();
      const { bytes, headers } = await decodeBody(await readBody(body, longest), received, limit);
      return { status, headers, body: bodyOf(bytes, headers['content-type']) };
    } catch (cause) {
      body.destroy();
      if (!(cause instanceof BodyTooLarge)) throw cause;
      const why = `${what} was answered ${status} with more than ${limit} bytes`;
      throw new CallError('WF_CALL_TOO_LARGE', why, { final: true });
    }
  }
}

function connectorOf(
  undici: Undici,
  { guard, connectTimeoutMs = 10_000 }: CallClientOptions,
): buildConnector.connector {
  const connect = undici.buildConnector({
    timeout: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelay: 10_000,
    autoSelectFamily: true,
    lookup: guard.lookup,
  });
  return (options, callback) => {
    try {
      guard.checkLiteral(options.hostname);
    } catch (error) {
      return callback(error as Error, null);
    }
    connect(options, callback);
  };
}

/** Names come in lower case. A cookie may hold a comma in its date, so cookies are parted by line breaks. */
function joined(headers: Readonly<Record<string, string | string[] | undefined>>): CallResponse['headers'] {
  const entries = Object.entries(headers).map(([name, value = '']) => [
    name,
    Array.isArray(value) ? value.join(name === 'set-cookie' ? '\n' : ', ') : value,
  ]);
  // a property of that name is no header, and changes prototypes
  return Object.fromEntries(entries.filter(([name]) => name !== '__proto__')) as Record<string, string>;
}

/** A date counts from that of the response, where it has one: clocks that differ then do no harm. */
function retryAfterOf({ 'retry-after': text, date = '' }: CallResponse['headers']): number | undefined {
  const sent = Date.parse(date);
  return text === undefined ? undefined : parseRetryAfter(text, Number.isNaN(sent) ? Date.now() : sent);
}

/** Whatever ended an attempt. Errors of connections and of what came over them are tried again. */
function callError(error: unknown, what: string): CallError {
  const known = knownIn(error);
  if (known !== undefined) return known;
  const why = error instanceof Error ? reasonOf(error) : String(error);
  return new CallError('WF_CALL_FAILED', `${what} got no response: ${why}`, { cause: error });
}

/** Our own error may come back wrapped: of several addresses that were tried, or as a cause. */
function knownIn(error: unknown): CallError | undefined {
  for (let one: unknown = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth++) {
    if (one instanceof CallError) return one;
  }
  return undefined;
}
