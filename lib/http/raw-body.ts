import type { IncomingMessage } from 'node:http';
import { Refusal } from './refusal.js';

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly bodyTimeoutMs: number;
}

/** Called once: with the bytes, with undefined when somebody has read from the stream before, or with why there are none. */
export type BodyRead = (refusal: Refusal | undefined, bytes?: Buffer) => void;

/**
 * Reads a body that nobody has read yet, within limits of size and time. By a callback: this is on the way of each delivery.
 * Refused with 413 when it is too large, 408 when it takes too long, 400 when the sender hangs up.
 */
export function readRawBody(stream: IncomingMessage, limits: BodyLimits, done: BodyRead): void {
  if (stream.readableDidRead || stream.readableEnded) return done(undefined);
  // a refusal is made when there is one: its stack costs as much as the rest of the reading
  const tooLarge = (): Refusal => new Refusal(413, `The body has more than ${limits.maxBodyBytes} bytes`);
  if (Number(stream.headers['content-length'] ?? 0) > limits.maxBodyBytes) return done(tooLarge());
  if (stream.destroyed) return done(new Refusal(400, 'The sender hung up'));

  const chunks: Buffer[] = [];
  let size = 0;
  const onData = (chunk: Buffer): void => {
    size += chunk.length;
    if (size > limits.maxBodyBytes) settle(tooLarge());
    else chunks.push(chunk);
  };
  const onEnd = (): void => settle(undefined, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
  const onGone = (): void => settle(new Refusal(400, 'The sender hung up before the body was complete'));
  const onLate = (): void =>
    settle(new Refusal(408, `The body was not complete after ${limits.bodyTimeoutMs} ms`));
  const timer = setTimeout(onLate, limits.bodyTimeoutMs);
  let over = false;
  const settle: BodyRead = (refusal, bytes) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    stream.off('data', onData).off('end', onEnd).off('close', onGone);
    // the rest flows into nothing; the error listener stays, for a stream without one ends the process
    done(refusal, bytes);
  };
  stream.on('data', onData).once('end', onEnd).once('close', onGone).on('error', onGone);
}
