import 'reflect-metadata';
import {
  DEFAULT_WEBHOOK_METHODS,
  isWebhookToken,
  WEBHOOK_METHODS,
  type WebhookMethod,
} from '../engine/webhook.js';
import { readSafely } from '../engine/brands.js';
import { WorkflowError } from '../errors/index.js';
import { checkName } from './event.js';

export type { WebhookMethod };

/** What `ctx.createWebhook` gives. */
export interface Webhook {
  /** whoever knows it can call: a secret to be given to one sender */
  readonly url: string;
  /** the unguessable part of the URL */
  readonly id: string;
}

/** One call of a webhook, as `run` is given it. */
export interface WebhookCall<B = unknown> {
  readonly method: string;
  /** names in lower case; without `authorization`, `cookie` and headers of the connection: the journal is no place for secrets */
  readonly headers: Record<string, string>;
  /** a parameter that is given several times is an array */
  readonly query: Record<string, string | string[]>;
  /** JSON parsed; a form as a record; other text as a string; anything else as `Uint8Array`; undefined when there was none */
  readonly body: B;
}

/** One call of a webhook, as the check of its sender is given it: before anything is parsed or written. */
export interface WebhookRequest {
  /** as `ctx.createWebhook` was called */
  readonly name: string;
  readonly runId: string;
  readonly workflow: string;
  readonly method: string;
  /** names in lower case; all of them */
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | string[]>>;
  /** exactly the bytes that were sent: what a signature is made of */
  readonly rawBody: Uint8Array;
}

/** Names of the methods that check senders, by the webhook they are for; null: for all that have none of their own. */
export type WebhookVerifiers = ReadonlyMap<string | null, string>;

const VERIFIERS = Symbol.for('nestjs-workflow:verify-webhook');

/**
 * Marks the method of a workflow class that says whether a call of a webhook is from whom it claims to be, such as by the
 * signature of its bytes. False, or anything thrown: the call is answered 401 and nothing is written. It runs outside of any run.
 * @param name of the webhooks (as given to `ctx.createWebhook`) that it is for @default all that have no check of their own
 * @throws WorkflowError WF_INVALID_WORKFLOW, WF_INVALID_ARGUMENT when the class is defined
 */
export function VerifyWebhook(
  name?: string,
): <F extends (request: WebhookRequest) => boolean | Promise<boolean>>(
  proto: object,
  method: string,
  descriptor: TypedPropertyDescriptor<F>,
) => void {
  const which = name === undefined ? null : checkName(name, 'The name of @VerifyWebhook');
  return (proto, method) => {
    const own = Reflect.getOwnMetadata(VERIFIERS, proto) as WebhookVerifiers | undefined;
    if (own?.has(which)) {
      throw new WorkflowError(
        'WF_INVALID_WORKFLOW',
        `${proto.constructor.name} has two methods marked @VerifyWebhook(${which === null ? '' : JSON.stringify(which)})`,
      );
    }
    // what a subclass says comes before what it inherits
    Reflect.defineMetadata(VERIFIERS, new Map([...webhookVerifiersOf(proto), [which, method]]), proto);
  };
}

/** Methods marked @VerifyWebhook, also inherited ones. */
export const webhookVerifiersOf = (proto: object): WebhookVerifiers =>
  (Reflect.getMetadata(VERIFIERS, proto) as WebhookVerifiers | undefined) ?? new Map();

/** The method that checks the senders of a webhook. */
export const verifierFor = (verifiers: WebhookVerifiers, name: string): string | undefined =>
  verifiers.get(name) ?? verifiers.get(null);

/** Methods as `ctx.createWebhook` takes them, each once. @throws WorkflowError WF_INVALID_ARGUMENT */
export function webhookMethods(name: string, methods: unknown = DEFAULT_WEBHOOK_METHODS): string[] {
  const known: readonly unknown[] = WEBHOOK_METHODS;
  if (
    Array.isArray(methods) &&
    methods.length > 0 &&
    methods.length <= 100 &&
    // holes are no methods either
    Array.from(methods).every((method) => known.includes(method))
  )
    return [...new Set(methods as string[])];
  throw new WorkflowError(
    'WF_INVALID_ARGUMENT',
    `\`methods\` of ctx.createWebhook("${name}") must be a list of some of ${WEBHOOK_METHODS.join(', ')}`,
  );
}

/** The token of what `ctx.createWebhook` gave. @throws WorkflowError WF_INVALID_ARGUMENT */
export function webhookId(name: string, hook: Webhook): string {
  const id = readSafely(hook, 'id');
  if (typeof id === 'string' && isWebhookToken(id)) return id;
  throw new WorkflowError(
    'WF_INVALID_ARGUMENT',
    `ctx.waitForWebhook("${name}") needs what ctx.createWebhook gave`,
  );
}
