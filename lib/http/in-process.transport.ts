import { WorkflowError } from '../errors/index.js';
import {
  DeliveryError,
  DeliveryHandler,
  Transport,
  type Delivery,
  type DeliveryReply,
} from '../ports/index.js';
import { messageOf } from './message-of.js';

/** Deliveries as calls: no HTTP, no signature, the same rules. */
export class InProcessTransport extends Transport {
  readonly kind = 'in-process';

  constructor(private readonly handler: DeliveryHandler) {
    super();
  }

  /** Without `async`: on the way of every run each promise counts (ADR 20). */
  deliver(delivery: Delivery): Promise<DeliveryReply> {
    return this.handler.handle(delivery).catch((cause: unknown) => failed(delivery, cause));
  }
}

function failed({ workflow, runId, taskId }: Delivery, cause: unknown): DeliveryReply {
  if (WorkflowError.is(cause, 'WF_STALE_DELIVERY')) return { next: 'stale' };
  const notSent = WorkflowError.is(cause, 'WF_NOT_SERVED') || WorkflowError.is(cause, 'WF_SHUTTING_DOWN');
  const message = `Delivery of task ${taskId} (run ${runId} of ${workflow}) failed: ${messageOf(cause)}`;
  throw new DeliveryError(message, notSent ? 'not-sent' : 'failed', undefined, { cause });
}
