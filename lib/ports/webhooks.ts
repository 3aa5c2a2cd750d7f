import type { WebhookSpec } from '../engine/webhook.js';

/** A webhook of a run that goes on. */
export interface LiveWebhook extends WebhookSpec {
  readonly token: string;
  readonly runId: string;
  readonly workflow: string;
  readonly version: string | null;
}

/** A call as it came, for the check of its sender. */
export interface WebhookSender {
  readonly method: string;
  /** in lower case, all of them */
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | string[]>>;
  /** the body, byte by byte */
  readonly rawBody: Uint8Array;
}

/** A call as the run is given it. */
export interface WebhookCallData {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | string[]>>;
  readonly body: unknown;
}

/** `elsewhere`: the code that knows the sender is not in this process, or did not answer in time. */
export type WebhookVerdict = 'genuine' | 'denied' | 'elsewhere';

/** Where calls of webhooks enter the engine: what an HTTP endpoint asks, in this order. Only `deliver` writes. */
export abstract class WebhookIntake {
  /** One statement. Null when there is no such token, or its run has ended. */
  abstract find(token: string): Promise<LiveWebhook | null>;
  /** Asks the workflow whether it knows the sender. Without a check the answer is `genuine`. Never rejects. */
  abstract verify(hook: LiveWebhook, sender: WebhookSender): Promise<WebhookVerdict>;
  /**
   * Puts the call into the inbox of the run: when this resolves with true it is there, whatever happens to this process.
   * False when the run has ended meanwhile.
   * @throws WorkflowError WF_TOO_LARGE, WF_NOT_SERIALIZABLE
   */
  abstract deliver(hook: LiveWebhook, call: WebhookCallData): Promise<boolean>;
}

/** Where webhooks lie, as the outside world sees it. */
export abstract class WebhookUrls {
  /** @throws WorkflowError WF_NO_PUBLIC_URL */
  abstract urlOf(token: string): string;
}
