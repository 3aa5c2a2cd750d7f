import type { IncomingMessage } from 'node:http';
import { Refusal } from './refusal.js';

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly bodyTimeoutMs: number;
}

/**
 * Reads a body that nobody has read yet, within limits of size and time.
 * @returns the bytes, or undefined when somebody has read from the stream before
 * @throws Refusal 413 when it is too large, 408 when it takes too long, 400 when the sender hangs up
 */
export async function readRawBody(stream: IncomingMessage, limits: BodyLimits): Promise<Buffer | undefined> {
  if (stream.readableDidRead || stream.readableEnded) return undefined;
  const tooLarge = new Refusal(413, `The body has more than ${limits.maxBodyBytes} bytes`);
  if (Number(stream.headers['content-length'] ?? 0) > limits.maxBodyBytes) throw tooLarge;
  if (stream.destroyed) throw new Refusal(400, 'The sender hung up');

  return new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > limits.maxBodyBytes) settle(() => reject(tooLarge));
      else chunks.push(chunk);
    };
    const onEnd = (): void => settle(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    const onGone = (): void =>
      settle(() => reject(new Refusal(400, 'The sender hung up before the body was complete')));
    const onLate = (): void =>
      settle(() => reject(new Refusal(408, `The body was not complete after ${limits.bodyTimeoutMs} ms`)));
    const timer = setTimeout(onLate, limits.bodyTimeoutMs);
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      stream.off('data', onData).off('end', onEnd).off('close', onGone);
      // the rest flows into nothing; the error listener stays, for a stream without one ends the process
      outcome();
    };
    stream.on('data', onData).once('end', onEnd).once('close', onGone).on('error', onGone);
  });
}
