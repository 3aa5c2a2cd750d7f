import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { WebhookIntake } from '../../lib/ports/index.js';
import type { LiveWebhook, WebhookCallData, WebhookSender, WebhookVerdict } from '../../lib/ports/index.js';

export const TOKEN = 'aB3_-'.repeat(6) + 'xY';

export const liveHook: LiveWebhook = {
  name: 'approval',
  methods: ['POST', 'PUT', 'PATCH'],
  verify: false,
  token: TOKEN,
  runId: 'order-7',
  workflow: 'fulfil-order',
  version: null,
};

/** One webhook, and what was asked of it. */
export class FakeIntake extends WebhookIntake {
  hook: LiveWebhook | null = liveHook;
  verdict: WebhookVerdict = 'genuine';
  ended = false;
  asked: string[] = [];
  senders: WebhookSender[] = [];
  calls: WebhookCallData[] = [];

  async find(token: string): Promise<LiveWebhook | null> {
    this.asked.push(token);
    return token === this.hook?.token ? this.hook : null;
  }

  async verify(_hook: LiveWebhook, sender: WebhookSender): Promise<WebhookVerdict> {
    this.senders.push(sender);
    return this.verdict;
  }

  async deliver(_hook: LiveWebhook, call: WebhookCallData): Promise<boolean> {
    if (this.ended) return false;
    this.calls.push(call);
    return true;
  }

  reset(): void {
    Object.assign(this, new FakeIntake());
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Uint8Array;
  /** in these pieces, without a length */
  readonly chunks?: readonly Uint8Array[];
}

/** A request as any client might send it. */
export function send(
  url: string,
  { method = 'POST', headers = {}, body, chunks }: Call = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // for a DELETE it would be left out
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const options = { method, headers: { ...length, ...headers }, agent: false };
    const request = httpRequest(url, options, (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    request.on('error', reject);
    for (const chunk of chunks ?? []) request.write(chunk);
    request.end(body);
  });
}
