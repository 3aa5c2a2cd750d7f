/** A hop of a run. Tests stop the process, or hold it, exactly there. */
export type ProbePoint =
  | 'triggered'
  | 'claimed'
  | 'woken'
  | 'delivery-sent'
  | 'delivery-received'
  | 'loaded'
  | 'step-executed'
  | 'flush-sent'
  | 'flush-durable'
  | 'answer-sent'
  | 'answer-durable'
  | 'children-started'
  | 'suspended'
  | 'ended'
  | 'reply-sent'
  | 'reply-received';

/** Lets a test wait for the moment instead of the time. Production has none: the hot path pays one comparison. */
export abstract class Probe {
  abstract at(
    point: ProbePoint,
    detail: { readonly runId?: string; readonly step?: string },
  ): void | Promise<void>;
}
