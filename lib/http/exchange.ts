import type { Dispatcher } from 'undici';

/** An answer as it came, of any sender. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** at most `MAX_ANSWER_BYTES`; what is longer is none of ours */
  readonly text: string;
}

/** There was no complete answer. */
export class ExchangeError extends Error {
  override readonly name = 'ExchangeError';
  constructor(
    message: string,
    /** false only when it is proven that not one byte of the request was given to a socket */
    readonly sent: boolean,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

export interface ExchangeRequest {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  /** limit of the whole exchange @default none */
  readonly timeoutMs?: number;
}

export const MAX_ANSWER_BYTES = 64 * 1024;

/** Called once, with the answer or with why there is none. */
export type Exchanged = (error: ExchangeError | undefined, answer?: RawAnswer) => void;

/**
 * One POST. A handler of undici's dispatch, not its `request()`: only here undici tells, by `onRequestStart`, that it is
 * about to write to a connected socket. Until then nothing was sent, whatever the error is; from then on nobody can tell
 * (a keep-alive connection that the other side has just closed looks the same as one that broke during execution).
 */
export function exchange(dispatcher: Dispatcher, request: ExchangeRequest, done: Exchanged): void {
  let sent = false;
  let over = false;
  let controller: Dispatcher.DispatchController | undefined;
  let timer: NodeJS.Timeout | undefined;
  let status = 0;
  let headers: RawAnswer['headers'] = {};
  const chunks: Buffer[] = [];
  let size = 0;

  const settle = (outcome: () => void): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    outcome();
  };
  const finish = (): void => {
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    const text = bytes.toString('utf8', 0, MAX_ANSWER_BYTES);
    settle(() => done(undefined, { status, headers, text }));
  };
  const fail = (error: unknown): void => {
    const why = error instanceof Error ? reasonOf(error) : String(error);
    settle(() => done(new ExchangeError(why, sent, { cause: error })));
  };
  if (request.timeoutMs !== undefined) {
    timer = setTimeout(() => {
      const late = new Error(`no answer within ${request.timeoutMs} ms`);
      fail(late);
      controller?.abort(late);
    }, request.timeoutMs);
  }

  const handler: Dispatcher.DispatchHandler = {
    onRequestStart(started) {
      if (over) return started.abort(new Error('given up before it was sent'));
      controller = started;
      sent = true;
    },
    onResponseStart(_controller, code, received) {
      status = code;
      headers = received;
    },
    onResponseData(current, chunk) {
      chunks.push(chunk);
      size += chunk.length;
      if (size <= MAX_ANSWER_BYTES) return;
      finish();
      current.abort(new Error('the answer is too long'));
    },
    onResponseEnd: finish,
    onResponseError: (_controller, error) => fail(error),
  };
  const { path, headers: sentHeaders, body } = request;
  try {
    dispatcher.dispatch({ method: 'POST', path, headers: sentHeaders, body }, handler);
  } catch (error) {
    fail(error);
  }
}

/** Node hides the reasons of a connection that was tried at several addresses in an AggregateError without a message. */
export function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  const text =
    error.message || (error instanceof AggregateError ? error.errors.map(String).join('; ') : error.name);
  return code === undefined || text.includes(code) ? text : `${code}: ${text}`;
}
