import { Logger } from '@nestjs/common';
import { versionName } from '../engine/version.js';
import { DeliveryError, type Delivery, type DeliveryReply, type Transport } from '../ports/index.js';

/**
 * Behind one URL stand instances of several releases, and some that shut down: another one may take what this one did not. It has
 * executed nothing.
 */
const MISDIRECTED_TRIES = 4;
const MISDIRECTED_PAUSE_MS = 5;

/**
 * Brings deliveries to the code, whichever instance behind the URL has it. A balancer may lead to the same wrong one again and
 * again (one new instance among many, connections that stick): this process has claimed the task, so it has the code as well.
 */
export class Deliverer {
  readonly #logger = new Logger('Workflow');
  readonly #told = new Set<string>();

  /**
   * @param own to the code of this very process
   * @param pause false: this process stops, and the delivery is not tried again
   */
  constructor(
    readonly transport: Transport,
    private readonly own: Transport,
    private readonly pause: (ms: number) => Promise<boolean>,
  ) {}

  /** @throws DeliveryError when there was no reply of the protocol */
  deliver(delivery: Delivery): Promise<DeliveryReply> {
    const sent = this.transport.deliver(delivery);
    // to this very process there is one way only
    return this.transport === this.own ? sent : sent.catch((error: unknown) => this.#again(delivery, error));
  }

  async #again(delivery: Delivery, first: unknown): Promise<DeliveryReply> {
    let error = first;
    for (let tries = 0; ; tries++) {
      if (!isMisdirected(error)) throw error;
      if (tries === MISDIRECTED_TRIES) {
        this.#tell(delivery, error as DeliveryError);
        return this.own.deliver(delivery);
      }
      if (!(await this.pause(MISDIRECTED_PAUSE_MS * 2 ** tries))) throw error;
      try {
        return await this.transport.deliver(delivery);
      } catch (again) {
        error = again;
      }
    }
  }

  /** Once: of a deploy that is under way nobody needs to hear more. */
  #tell({ workflow, version }: Delivery, { status }: DeliveryError): void {
    if (status !== 421) return;
    const name = versionName(workflow, version);
    if (this.#told.has(name)) return;
    this.#told.add(name);
    this.#logger.warn(
      `The callback URL leads to instances that do not serve workflow ${name}; what they do not take is executed in this process`,
    );
  }
}

/** 503 with that fate is the endpoint's own word: it shuts down. */
const isMisdirected = (error: unknown): boolean =>
  error instanceof DeliveryError &&
  (error.status === 421 || (error.status === 503 && error.fate === 'not-sent'));
