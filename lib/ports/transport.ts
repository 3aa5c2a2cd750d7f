/** One message of the step-callback protocol: "advance this run", or "execute this one step". See docs/protocol.md. */
export interface Delivery {
  readonly workflow: string;
  readonly version: string | null;
  readonly runId: string;
  /** id of the task row, decimal digits */
  readonly taskId: string;
  /** the lease: grows with each claim; every write is guarded by it */
  readonly fence: number;
  /** how many commits were made under this fence before this delivery; another count in the database means: stale */
  readonly seq: number;
  /** key of the step to execute; absent when the run is to be advanced */
  readonly step?: string;
}

/**
 * What comes next, as the endpoint saw it. Advice: the rows are the truth and a lost reply costs nothing.
 * - `continue`: the run can go on at once, under the same fence, with this `seq`
 * - `waiting`: the lease is given back; the task rows say when something is due
 * - `finished`: the run has ended
 * - `done`: the step task was answered (or its retry is scheduled)
 * - `adopted`: the endpoint still executes and has taken over the lease; forget the task
 * - `stale`: another delivery, claim or cancel has overtaken this one; nothing was executed
 */
export type DeliveryReply =
  | { readonly next: 'continue'; readonly seq: number }
  | {
      readonly next: 'waiting';
      /** ms until time alone makes the task due again */ readonly dueInMs?: number;
    }
  | { readonly next: 'finished' }
  | { readonly next: 'done' }
  | { readonly next: 'adopted' }
  | { readonly next: 'stale' };

/** Executes a delivery in this process. The runtime provides it; the in-process transport and the HTTP endpoint call it. */
export abstract class DeliveryHandler {
  /**
   * @param fromHere true: this process has sent it to itself, with nothing between that could bring a copy of it elsewhere
   * @throws WorkflowError WF_NOT_SERVED when this process does not serve the workflow, WF_SHUTTING_DOWN while it drains;
   * any other error means: nothing was journaled by this delivery, try again later.
   */
  abstract handle(delivery: Delivery, fromHere?: boolean): Promise<DeliveryReply>;
}

/** Why a delivery got no reply. `sent` decides who may repeat it: only what surely was not sent may be repeated at once. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError';
  constructor(
    message: string,
    /**
     * - `not-sent`: the connection was refused or the endpoint said it executed nothing (421, 429, 503): repeat with backoff
     * - `refused`: the endpoint answered that it will not (400, 401, 403, 404, 413): configuration; repeat slowly, log loudly
     * - `failed`: the endpoint answered 5xx: it has stopped executing; release the task with backoff
     * - `unknown`: sent, and no answer came: the endpoint may still be executing; wait one leaseTimeout, then release with fence + 1
     */
    readonly fate: 'not-sent' | 'refused' | 'failed' | 'unknown',
    /** HTTP status, when there was an answer */
    readonly status?: number,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** Brings a delivery to the code of the application. */
export abstract class Transport {
  abstract readonly kind: 'http' | 'in-process';
  /** @throws DeliveryError when there was no reply of the protocol */
  abstract deliver(delivery: Delivery): Promise<DeliveryReply>;
}
