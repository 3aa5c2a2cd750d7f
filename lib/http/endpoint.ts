import type { Socket } from 'node:net';
import { WORKFLOW_ERRORS, WorkflowError, type WorkflowErrorCode } from '../errors/index.js';
import type { Delivery, DeliveryHandler, DeliveryReply } from '../ports/index.js';
import {
  CONTENT_TYPE,
  MAX_BODY_BYTES,
  parseDelivery,
  parsePing,
  PROTOCOL_HEADER,
  PROTOCOL_VERSION,
  readReply,
  SIGNATURE_HEADER,
  type ErrorBody,
  type Pong,
} from './protocol.js';
import type { EndpointAnswer, RequestHeaders } from './host.js';
import { messageOf } from './message-of.js';
import type { OwnConnections } from './own-connections.js';
import { Refusal } from './refusal.js';
import type { MessageVerifier } from './signature.js';

export interface CallbackEndpointOptions {
  /** who answers pings, such as the id of the worker */
  readonly instance: string;
  /** true once this process is about to close: a delivery that meets the end of a kept connection has an unknown fate */
  readonly closing?: () => boolean;
  /** tells what comes from this very process */
  readonly own?: OwnConnections;
  /** longest body that is read @default 65536 */
  readonly maxBodyBytes?: number;
  /** how long a body may take to arrive @default 10000 */
  readonly bodyTimeoutMs?: number;
}

/** Codes that a handler raises to be answered with a status of their own; every other error is a 500. */
const STATUS_OF: Partial<Record<WorkflowErrorCode, number>> = {
  WF_NOT_SERVED: 421,
  WF_SHUTTING_DOWN: 503,
  WF_STALE_DELIVERY: 409,
};

/**
 * The receiving side of the step-callback protocol, without a framework: bytes and headers in, an answer out.
 *
 * 200 reply or pong; 202 adopted; 409 stale; 400 not a delivery; 401 unsigned, altered, expired or replayed;
 * 413 too large; 415 another content type; 421 not served here; 503 shutting down; 500 any other error of the handler.
 */
export class CallbackEndpoint {
  readonly maxBodyBytes: number;
  readonly bodyTimeoutMs: number;
  readonly #instance: string;
  readonly #closing: () => boolean;
  readonly #own: OwnConnections | undefined;

  constructor(
    private readonly handler: DeliveryHandler,
    private readonly verifier: MessageVerifier,
    options: CallbackEndpointOptions,
  ) {
    this.#instance = options.instance;
    this.#own = options.own;
    this.#closing = options.closing ?? (() => false);
    this.maxBodyBytes = options.maxBodyBytes ?? MAX_BODY_BYTES;
    this.bodyTimeoutMs = options.bodyTimeoutMs ?? 10_000;
  }

  /**
   * Verifies, parses and executes one message. Never throws.
   * @param rawBody exactly the bytes that were received; undefined when the host application has consumed them
   * @param socket by which they came
   */
  handle(rawBody: Buffer | undefined, headers: RequestHeaders, socket?: Socket): Promise<EndpointAnswer> {
    let fromHere: boolean;
    let delivery: Delivery;
    try {
      fromHere = socket !== undefined && this.#own?.has(socket) === true;
      const body = this.#admit(rawBody, headers);
      const kind = this.verifier.verify(single(headers[SIGNATURE_HEADER]), body);
      if (kind === 'ping') {
        const pong: Pong = { pong: parsePing(body).ping, instance: this.#instance };
        return Promise.resolve(this.#leaving(answer(200, pong)));
      }
      delivery = parseDelivery(body);
    } catch (error) {
      return Promise.resolve(this.#leaving(refusal(error)));
    }
    return this.#execute(delivery, fromHere);
  }

  #admit(rawBody: Buffer | undefined, headers: RequestHeaders): Buffer {
    const type = (single(headers['content-type']) ?? '').split(';', 1)[0]!.trim().toLowerCase();
    if (type !== CONTENT_TYPE && type !== 'application/json') {
      throw new Refusal(415, `The content type ${JSON.stringify(type.slice(0, 100))} is not ${CONTENT_TYPE}`);
    }
    if (rawBody === undefined) {
      throw new Refusal(
        415,
        `A body parser of the application has consumed the bytes that are signed. Send them as ${CONTENT_TYPE}, ` +
          'keep parsers off that type, or create the application with `rawBody: true`',
      );
    }
    if (rawBody.length > this.maxBodyBytes) {
      throw new Refusal(413, `The body has more than ${this.maxBodyBytes} bytes`);
    }
    return rawBody;
  }

  /** Apart from `handle`, so that no error of the handler can pass for a refusal: it may have executed something. */
  #execute(delivery: Delivery, fromHere: boolean): Promise<EndpointAnswer> {
    const failed = (error: unknown): EndpointAnswer => this.#leaving(failure(error));
    try {
      return this.handler.handle(delivery, fromHere).then((reply) => this.#leaving(replied(reply)), failed);
    } catch (error) {
      return Promise.resolve(failed(error));
    }
  }

  /** Nor may the next try of what was not executed here come back by the same connection. */
  #leaving(answered: EndpointAnswer): EndpointAnswer {
    const elsewhere = answered.status === 421 || answered.status === 503 || this.#closing();
    return elsewhere ? { ...answered, close: true } : answered;
  }
}

function replied(given: DeliveryReply): EndpointAnswer {
  const reply = readReply(given);
  if (reply === undefined) return failure(new TypeError('The handler gave no reply of the protocol'));
  if (reply.next === 'stale') {
    return failure(new WorkflowError('WF_STALE_DELIVERY', 'The delivery is stale; nothing was executed'));
  }
  return answer(reply.next === 'adopted' ? 202 : 200, reply);
}

/** The answer to a request that was refused before anything was executed. */
export function refusal(error: unknown): EndpointAnswer {
  if (error instanceof Refusal) {
    return answer(error.status, bodyOf('WF_BAD_DELIVERY', `${error.message}. [WF_BAD_DELIVERY]`));
  }
  if (WorkflowError.is(error, 'WF_UNSIGNED') || WorkflowError.is(error, 'WF_BAD_DELIVERY')) {
    return answer(WORKFLOW_ERRORS[error.code].status, bodyOf(error.code, error.message));
  }
  return failure(error);
}

function failure(error: unknown): EndpointAnswer {
  if (!WorkflowError.is(error)) return answer(500, bodyOf('INTERNAL', messageOf(error)));
  const status = STATUS_OF[error.code] ?? 500;
  return answer(status, bodyOf(error.code, error.message), status === 503 ? { 'retry-after': '1' } : {});
}

function bodyOf(code: string, message: string): ErrorBody {
  return { code, message };
}

function answer(status: number, body: unknown, more: Record<string, string> = {}): EndpointAnswer {
  return {
    status,
    headers: {
      'content-type': CONTENT_TYPE,
      'cache-control': 'no-store',
      [PROTOCOL_HEADER]: String(PROTOCOL_VERSION),
      ...more,
    },
    body: JSON.stringify(body),
  };
}

/** A header that must be given once; two of it are none. */
function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
