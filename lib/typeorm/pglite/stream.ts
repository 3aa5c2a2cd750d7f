import { Duplex } from 'node:stream';
import { asksForAnswer, FrontendType, messageLength, prefixStatementName } from './messages.js';
import type { SessionConnection, SessionScheduler } from './scheduler.js';

let connections = 0;

/**
 * The "socket" of a node-postgres client whose server is a PGlite session. Collects what the client writes up to the
 * message that asks for an answer, and sends that as one batch.
 */
export class PGliteStream extends Duplex implements SessionConnection {
  private readonly prefix = `c${(connections += 1)}_`;
  private readonly prepared = new Set<string>();
  private started = false;
  /** start of a message whose end has not been written yet */
  private partial: Buffer = Buffer.alloc(0);
  private batch: Buffer[] = [];

  constructor(private readonly scheduler: SessionScheduler) {
    super();
    scheduler.add(this);
  }

  // what node-postgres calls on a net.Socket
  connect(): this {
    this.scheduler.session.waitReady.then(
      () => this.emit('connect'),
      (error: Error) => this.destroy(error),
    );
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  receive(bytes: Buffer): void {
    if (!this.destroyed && !this.readableEnded) this.push(bytes);
  }

  fail(error: Error): void {
    this.destroy(error);
  }

  /** The client was given back to its pool. */
  giveBack(): void {
    this.scheduler.reset(this);
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.accept(chunk);
    done();
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.accept(Buffer.concat(chunks.map(({ chunk }) => chunk)));
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.batch = [];
    this.scheduler.remove(this, this.prepared);
    done(error);
  }

  private accept(chunk: Buffer): void {
    let bytes = this.partial.length === 0 ? chunk : Buffer.concat([this.partial, chunk]);
    if (!this.started) {
      // the startup message alone has no type byte; node-postgres writes it whole
      this.started = true;
      const length = bytes.readInt32BE(0);
      this.scheduler.send(this, bytes.subarray(0, length));
      bytes = bytes.subarray(length);
    }
    let at = 0;
    for (let length; (length = messageLength(bytes, at)) !== undefined; at += length) {
      const type = bytes[at]!;
      if (type === FrontendType.terminate) {
        this.scheduler.remove(this, this.prepared);
        this.push(null);
        return;
      }
      this.batch.push(prefixStatementName(bytes.subarray(at, at + length), this.prefix, this.prepared));
      if (asksForAnswer(type)) {
        this.scheduler.send(this, this.batch.length === 1 ? this.batch[0]! : Buffer.concat(this.batch));
        this.batch = [];
      }
    }
    this.partial = bytes.subarray(at);
  }
}
