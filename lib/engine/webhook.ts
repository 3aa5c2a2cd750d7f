/** What may be asked for by `createWebhook`; HEAD and OPTIONS are answered by the endpoint itself and never count. */
export const WEBHOOK_METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** HTTP methods that a webhook may take. */
export type WebhookMethod = (typeof WEBHOOK_METHODS)[number];

/** Without GET: mail scanners and link previews follow links, and would approve. */
export const DEFAULT_WEBHOOK_METHODS: readonly WebhookMethod[] = ['POST', 'PUT', 'PATCH'];

/** What the row of a webhook keeps besides its token. */
export interface WebhookSpec {
  /** as `createWebhook` was called */
  readonly name: string;
  readonly methods: readonly string[];
  /** the workflow checks its senders: a process without that code lets no call through */
  readonly verify: boolean;
}

/** Length of 24 random bytes in base64url: 192 bits, which nobody guesses. */
const TOKEN = /^[\w-]{32}$/;

export const WEBHOOK_TOKEN_BYTES = 24;

/** True for a text that may be a token: nothing else is worth a question to the database. */
export const isWebhookToken = (text: string): boolean => TOKEN.test(text);

/** The event under which calls of a webhook lie in the inbox of its run. */
export const webhookEvent = (token: string): string => `webhook:${token}`;

export const writeWebhookSpec = ({ name, methods, verify }: WebhookSpec): string =>
  JSON.stringify({ name, methods, verify });

export const readWebhookSpec = (text: string): WebhookSpec => JSON.parse(text) as WebhookSpec;
