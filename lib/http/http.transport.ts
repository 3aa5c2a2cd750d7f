import { randomUUID } from 'node:crypto';
import type { Pool } from 'undici';
import { WorkflowError } from '../errors/index.js';
import { DeliveryError, Transport, type Delivery, type DeliveryReply } from '../ports/index.js';
import { connectionKey, displayUrl, openPool, type CallbackTarget } from './callback-target.js';
import { exchange, ExchangeError, type Exchanged, type RawAnswer } from './exchange.js';
import { describe, replyOf } from './fate.js';
import { messageOf } from './message-of.js';
import {
  CONTENT_TYPE,
  encodeDelivery,
  isRecord,
  PROTOCOL_HEADER,
  readJson,
  SIGNATURE_HEADER,
} from './protocol.js';
import type { OwnConnections } from './own-connections.js';
import type { MessageKind, MessageSigner } from './signature.js';
import { Slots } from './slots.js';
import { loadUndici, type Undici } from './undici.js';

export interface HttpTransportOptions {
  /** where deliveries go at this moment; undefined while the application does not listen yet */
  readonly target: () => CallbackTarget | undefined;
  readonly signer: MessageSigner;
  /** most deliveries under way at a time; more wait @default 128 */
  readonly connections?: number;
  /** told of the connections that are opened */
  readonly own?: OwnConnections;
  /** @default 5000 */
  readonly connectTimeoutMs?: number;
  /** limit of one ping @default 5000 */
  readonly pingTimeoutMs?: number;
}

/**
 * Deliveries as signed POSTs over kept connections. No limit of time on an answer; redirects are not followed.
 * What became of a delivery without a reply is the `fate` of its DeliveryError: see docs/protocol.md.
 */
export class HttpTransport extends Transport {
  readonly kind = 'http';
  readonly #options: Required<Omit<HttpTransportOptions, 'own'>> & Pick<HttpTransportOptions, 'own'>;
  readonly #slots: Slots;
  #underWay = 0;
  #onIdle: () => void = () => {};
  #pool: { readonly target: CallbackTarget; readonly key: string; readonly pool: Pool } | undefined;
  #undici: Undici | undefined;
  #closed = false;

  constructor(options: HttpTransportOptions) {
    super();
    const { connections = 128, connectTimeoutMs = 5000, pingTimeoutMs = 5000 } = options;
    this.#options = { ...options, connections, connectTimeoutMs, pingTimeoutMs };
    if (!Number.isInteger(connections) || connections < 1) {
      throw new WorkflowError(
        'WF_INVALID_OPTIONS',
        `\`connections\` is ${connections}, not a whole number above zero`,
      );
    }
    this.#slots = new Slots(connections);
  }

  deliver(delivery: Delivery): Promise<DeliveryReply> {
    return this.#undici ? this.#deliver(delivery) : this.#load().then(() => this.#deliver(delivery));
  }

  /** What can be sent is sent from then on in the very turn in which it is given. */
  async #load(): Promise<void> {
    this.#undici = await loadUndici();
  }

  #deliver(delivery: Delivery): Promise<DeliveryReply> {
    const body = encodeDelivery(delivery);
    return new Promise((resolve, reject) => {
      this.#begin();
      this.#slots.take(() =>
        this.#send(delivery, body, (error, reply) => {
          this.#slots.giveBack();
          this.#ended();
          if (reply) resolve(reply);
          else reject(error!);
        }),
      );
    });
  }

  #send(
    delivery: Delivery,
    body: Buffer,
    done: (error: DeliveryError | undefined, reply?: DeliveryReply) => void,
  ): void {
    // asked for now, not before the wait for a place: the transport may have closed, the address changed
    const target = this.#closed ? undefined : this.#options.target();
    if (!target) {
      const why = this.#closed ? 'the transport is closed' : 'the application does not listen yet';
      return done(new DeliveryError(`${nameOf(delivery)} was not sent: ${why}`, 'not-sent'));
    }
    const to = (): string => `${nameOf(delivery)} to ${displayUrl(target)}`;
    this.#post(target, 'delivery', body, undefined, (cause, answer) => {
      if (answer) {
        const reply = replyOf(to, answer);
        return reply instanceof DeliveryError ? done(reply) : done(undefined, reply);
      }
      const message = `${to()} got no answer: ${messageOf(cause)}`;
      done(new DeliveryError(message, cause!.sent ? 'unknown' : 'not-sent', undefined, { cause }));
    });
  }

  /**
   * Asks the target whether it is an endpoint of this application, with the same key.
   * @throws WorkflowError WF_CALLBACK_UNREACHABLE, saying the URL and what came back
   */
  async ping(): Promise<void> {
    await this.#load();
    const target = this.#closed ? undefined : this.#options.target();
    const unreachable = (why: string, cause?: unknown): WorkflowError => {
      const whereto = target ? ` to ${displayUrl(target)}` : '';
      return new WorkflowError('WF_CALLBACK_UNREACHABLE', `A ping${whereto} ${why}`, { cause });
    };
    if (!target) throw unreachable('was not sent: the application does not listen, or is closing');
    const nonce = randomUUID();
    let answer: RawAnswer;
    try {
      const body = Buffer.from(JSON.stringify({ ping: nonce }));
      this.#begin();
      answer = await new Promise<RawAnswer>((resolve, reject) =>
        this.#post(target, 'ping', body, this.#options.pingTimeoutMs, (error, got) => {
          this.#ended();
          if (got) resolve(got);
          else reject(error!);
        }),
      );
    } catch (cause) {
      throw unreachable(`got no answer: ${messageOf(cause)}`, cause);
    }
    const body = readJson(answer.text);
    const ours = answer.status === 200 && answer.headers[PROTOCOL_HEADER] !== undefined;
    if (!ours || !isRecord(body) || body['pong'] !== nonce) throw unreachable(describe(answer));
  }

  /**
   * Sends no more. Deliveries under way may end within `graceMs`; then their connections are cut and they are `unknown`.
   * @param graceMs @default 0
   */
  async close(graceMs = 0): Promise<void> {
    this.#closed = true;
    if (graceMs > 0 && this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const pool = this.#pool?.pool;
    this.#pool = undefined;
    await pool?.destroy();
  }

  #post(
    target: CallbackTarget,
    kind: MessageKind,
    body: Buffer,
    timeoutMs: number | undefined,
    done: Exchanged,
  ): void {
    let signature: string;
    let pool: Pool;
    try {
      signature = this.#options.signer.sign(kind, body);
      pool = this.#poolOf(target);
    } catch (cause) {
      return done(new ExchangeError(`it could not be signed or sent: ${messageOf(cause)}`, false, { cause }));
    }
    const { pathname, search, username, password } = target.url;
    const headers: Record<string, string> = { 'content-type': CONTENT_TYPE, [SIGNATURE_HEADER]: signature };
    if (username !== '') headers['authorization'] = basicAuthorization(username, password);
    exchange(pool, { path: pathname + search, headers, body, timeoutMs }, done);
  }

  #poolOf(target: CallbackTarget): Pool {
    // a target is made anew when the address changes: the key of the same one need not be made again
    if (this.#pool?.target === target) return this.#pool.pool;
    const key = connectionKey(target);
    if (this.#pool?.key !== key) {
      // the application listens elsewhere now; what is under way to the old address may end
      void this.#pool?.pool.close();
      this.#pool = { target, key, pool: openPool(this.#undici!, target, this.#options, this.#options.own) };
    }
    return this.#pool.pool;
  }

  #begin(): void {
    this.#underWay += 1;
  }

  #ended(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#onIdle();
  }
}

/** Made for errors only. */
const nameOf = ({ workflow, runId, taskId }: Delivery): string =>
  `Delivery of task ${taskId} (run ${runId} of ${workflow})`;
/** For a gateway that asks for the user of the URL. */
function basicAuthorization(username: string, password: string): string {
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}
