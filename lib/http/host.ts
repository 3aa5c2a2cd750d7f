import type { IncomingMessage, ServerResponse } from 'node:http';
import { Server } from 'node:net';
import { readRawBody, type BodyLimits, type BodyRead } from './raw-body.js';

/** Where parsers of the host keep a body. */
interface Parsed {
  /** set by the body parsers of Nest when they keep the bytes */
  readonly rawBody?: unknown;
  readonly body?: unknown;
  /** the URL as it came: what is mounted below a path sees only the rest of it in `url` */
  readonly originalUrl?: string;
}

/** What the hosts hand over: the request of node:http, which that of Express is too, or Fastify's around it. */
export type HostRequest = (IncomingMessage & Parsed) | ({ readonly raw: IncomingMessage } & Parsed);

/** The response of node:http or Express, or Fastify's reply around it. */
export type HostResponse = ServerResponse | { readonly raw: ServerResponse; hijack(): unknown };

/** What an endpoint answers, without a framework. */
export interface EndpointAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** the sender is to use another connection from now on, which may lead elsewhere */
  readonly close?: boolean;
}

export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The request of node:http. */
export const streamOf = (request: HostRequest): IncomingMessage => ('raw' in request ? request.raw : request);

/** The response of node:http; the host leaves it alone from now on. */
export function takeResponse(response: HostResponse): ServerResponse {
  if (!('hijack' in response)) return response;
  response.hijack();
  return response.raw;
}

/** The bytes as they came: kept by a parser of the host, or still in the stream. Undefined when a parser has consumed them. */
export function readBytes(request: HostRequest, limits: BodyLimits, done: BodyRead): void {
  if (Buffer.isBuffer(request.rawBody)) return done(undefined, request.rawBody);
  if (Buffer.isBuffer(request.body)) return done(undefined, request.body);
  readRawBody(streamOf(request), limits, done);
}

/** The same as a promise. */
export function bytesOf(request: HostRequest, limits: BodyLimits): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) =>
    readBytes(request, limits, (refused, bytes) => (refused ? reject(refused) : resolve(bytes))),
  );
}

/** Writes to the response of node:http itself, so that no interceptor, serializer or filter of the host stands between. */
export function write(response: ServerResponse, answer: EndpointAnswer, stream: IncomingMessage): void {
  if (response.headersSent || response.destroyed) return;
  // 204 has no body, and must not say how long it is. Added behind a spread, the length would give each answer a shape of its own (ADR 20)
  const headers: Record<string, string | number> =
    answer.status === 204
      ? { ...answer.headers }
      : { 'content-length': Buffer.byteLength(answer.body), ...answer.headers };
  // what was not read cannot be told from a next request, and a server that closes waits for kept connections (supertest lets it
  // close after each request), and the next try of what is misdirected must not come back by the same connection to this very
  // instance; HTTP/2 has streams and forbids the header
  const ends = !stream.complete || closes(stream) || answer.close === true;
  if (ends && stream.httpVersionMajor < 2) headers['connection'] = 'close';
  if (!stream.complete) stream.resume();
  response.writeHead(answer.status, headers);
  response.end(answer.body);
}

/** True when the server takes no new connections any more. */
function closes({ socket }: IncomingMessage): boolean {
  return 'server' in socket && socket.server instanceof Server && !socket.server.listening;
}
