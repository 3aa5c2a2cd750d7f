import type { WebhookEndpoint } from '../http/index.js';

/** What a sender sends. */
export interface WebhookTestCall {
  /** @default 'POST' */
  method?: string;
  headers?: Record<string, string>;
  /** a string or bytes as they are; anything else as JSON, with that content type @default none */
  body?: unknown;
}

/** What it is answered. */
export interface WebhookAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** parsed; undefined when there was none */
  readonly body: unknown;
}

export async function callEndpoint(
  endpoint: WebhookEndpoint,
  url: string | URL,
  { method = 'POST', headers = {}, body }: WebhookTestCall,
): Promise<WebhookAnswer> {
  const { pathname, search } = new URL(url);
  const isRaw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  const lower = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const answer = await endpoint.handle({
    method,
    url: pathname + search,
    headers: { ...(!isRaw && { 'content-type': 'application/json' }), ...lower },
    readBody: async () => Buffer.from((isRaw ? (body ?? '') : JSON.stringify(body)) as string),
  });
  return { ...answer, body: answer.body === '' ? undefined : (JSON.parse(answer.body) as unknown) };
}
