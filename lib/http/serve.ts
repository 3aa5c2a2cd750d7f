import type { IncomingMessage, ServerResponse } from 'node:http';
import { refusal, type CallbackEndpoint, type EndpointAnswer } from './endpoint.js';
import { readRawBody } from './raw-body.js';

/** Where parsers of the host keep a body. */
interface Parsed {
  /** set by the body parsers of Nest when they keep the bytes */
  readonly rawBody?: unknown;
  readonly body?: unknown;
}

/** What the hosts hand over: the request of node:http, which that of Express is too, or Fastify's around it. */
export type HostRequest = (IncomingMessage & Parsed) | ({ readonly raw: IncomingMessage } & Parsed);

/** The response of node:http or Express, or Fastify's reply around it. */
export type HostResponse = ServerResponse | { readonly raw: ServerResponse; hijack(): unknown };

/**
 * Answers a callback request. Writes to the response of node:http itself, so that no interceptor, serializer or filter of
 * the host application stands between. Never throws.
 */
export async function serve(
  endpoint: CallbackEndpoint,
  request: HostRequest,
  response: HostResponse,
): Promise<void> {
  let target: ServerResponse;
  if ('hijack' in response) {
    response.hijack();
    target = response.raw;
  } else {
    target = response;
  }
  const stream = 'raw' in request ? request.raw : request;
  let answer: EndpointAnswer;
  try {
    answer = await endpoint.handle(await bytesOf(endpoint, request, stream), stream.headers);
  } catch (error) {
    answer = refusal(error);
  }
  write(target, answer, stream);
}

/** The bytes as they came: kept by a parser of the host, or still in the stream. */
async function bytesOf(
  endpoint: CallbackEndpoint,
  request: Parsed,
  stream: IncomingMessage,
): Promise<Buffer | undefined> {
  if (Buffer.isBuffer(request.rawBody)) return request.rawBody;
  if (Buffer.isBuffer(request.body)) return request.body;
  return readRawBody(stream, endpoint);
}

function write(response: ServerResponse, answer: EndpointAnswer, stream: IncomingMessage): void {
  if (response.headersSent || response.destroyed) return;
  const headers: Record<string, string | number> = {
    ...answer.headers,
    'content-length': Buffer.byteLength(answer.body),
  };
  if (!stream.complete) {
    // what was not read cannot be told from a next request; HTTP/2 has streams and forbids the header
    if (stream.httpVersionMajor < 2) headers['connection'] = 'close';
    stream.resume();
  }
  response.writeHead(answer.status, headers);
  response.end(answer.body);
}
