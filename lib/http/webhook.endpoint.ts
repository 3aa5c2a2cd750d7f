import { Logger } from '@nestjs/common';
import { isWebhookToken } from '../engine/webhook.js';
import { WORKFLOW_ERRORS, WorkflowError, type WorkflowErrorCode } from '../errors/index.js';
import type { LiveWebhook, WebhookIntake } from '../ports/index.js';
import type { EndpointAnswer, RequestHeaders } from './host.js';
import { messageOf } from './message-of.js';
import { Refusal } from './refusal.js';
import { headersForRun, headersOf, parseBody, queryOf } from './webhook-body.js';

export interface WebhookEndpointOptions {
  /** longest body that is read */
  readonly maxBodyBytes: number;
  /** how long a body may take to arrive @default 10000 */
  readonly bodyTimeoutMs?: number;
}

/** A request for a webhook, without a framework. */
export interface WebhookHttpRequest {
  readonly method: string;
  /** path and query as they came; the token is the last part of the path */
  readonly url: string;
  readonly headers: RequestHeaders;
  /** undefined when the host application has consumed the bytes. @throws Refusal */
  readonly readBody: () => Promise<Buffer | undefined>;
}

/** Answered here; they never count as a call, also where GET is listed: scanners and browsers send them by themselves. */
const NEVER_COUNT = ['HEAD', 'OPTIONS'];

/**
 * Where strangers call. 202 taken; 400 not what it says it is; 401 the workflow does not know the sender; 404 no such webhook,
 * or its run has ended; 405 a method that is not listed; 408, 413 the body; 415 its encoding; 503 not now. Only with 202 is
 * something written, and then it is durable. A token that cannot be one costs no statement, an unknown one a single read.
 */
export class WebhookEndpoint {
  readonly maxBodyBytes: number;
  readonly bodyTimeoutMs: number;
  readonly #logger = new Logger('Workflow');

  constructor(
    private readonly intake: WebhookIntake,
    options: WebhookEndpointOptions,
  ) {
    this.maxBodyBytes = options.maxBodyBytes;
    this.bodyTimeoutMs = options.bodyTimeoutMs ?? 10_000;
  }

  /** Never throws. */
  async handle(request: WebhookHttpRequest): Promise<EndpointAnswer> {
    try {
      return await this.#answer(request);
    } catch (error) {
      if (error instanceof Refusal) return refused(error.status, error.message);
      if (WorkflowError.is(error, 'WF_TOO_LARGE'))
        return refused(413, 'The call is longer than what is stored of one');
      if (WorkflowError.is(error, 'WF_NOT_SERIALIZABLE'))
        return refused(400, 'The body is nested too deep to be stored');
      this.#logger.error(`A call of a webhook could not be taken: ${messageOf(error)}`);
      return unavailable('The call could not be taken');
    }
  }

  async #answer(request: WebhookHttpRequest): Promise<EndpointAnswer> {
    const { method, url, headers } = request;
    const token = tokenIn(url);
    const hook = isWebhookToken(token) ? await this.intake.find(token) : null;
    if (!hook) return notFound();
    if (method === 'OPTIONS') return answer(204, undefined, { allow: allowed(hook) });
    if (method === 'HEAD') return answer(200, undefined);
    if (!hook.methods.includes(method))
      return refused(405, `This webhook is not called by ${method}`, { allow: allowed(hook) });

    const encoding = headers['content-encoding'] ?? 'identity';
    if (encoding !== 'identity' && encoding !== '')
      return refused(415, 'The body is compressed; send it as it is', { 'accept-encoding': 'identity' });
    const bytes = await request.readBody();
    if (bytes === undefined) return this.#consumed(hook);
    if (bytes.length > this.maxBodyBytes)
      return refused(413, `The body has more than ${this.maxBodyBytes} bytes`);

    const sender = { method, headers: headersOf(headers), query: queryOf(url), rawBody: bytes };
    const verdict = await this.intake.verify(hook, sender);
    if (verdict === 'denied') return coded('WF_WEBHOOK_DENIED', 'The sender was not recognised');
    if (verdict === 'elsewhere') return unavailable('The sender cannot be checked by this instance');

    const body = parseBody(sender.headers['content-type'], bytes);
    const call = { method, headers: headersForRun(sender.headers), query: sender.query, body };
    return (await this.intake.deliver(hook, call)) ? answer(202, { accepted: true }) : notFound();
  }

  /** Another text than was sent would be given to the run, and no signature would fit it. */
  #consumed({ name, runId }: LiveWebhook): EndpointAnswer {
    this.#logger.error(
      `A call of webhook "${name}" of run ${runId} was refused: a body parser of the application has consumed its bytes. ` +
        'Create the application with `rawBody: true`, or keep that parser off the webhooks.',
    );
    return refused(415, 'The application has consumed the bytes of the body');
  }
}

/** Last part of the path. */
function tokenIn(url: string): string {
  const path = url.split('?', 1)[0]!.replace(/\/+$/, '');
  return path.slice(path.lastIndexOf('/') + 1);
}

const allowed = ({ methods }: LiveWebhook): string => [...methods, ...NEVER_COUNT].join(', ');

/** The same for a token that never was and for a run that has ended: nobody learns which. */
const notFound = (): EndpointAnswer => coded('WF_WEBHOOK_NOT_FOUND', 'There is no such webhook');

const unavailable = (what: string): EndpointAnswer =>
  coded('WF_WEBHOOK_UNAVAILABLE', what, { 'retry-after': '5' });

function coded(code: WorkflowErrorCode, what: string, more: Record<string, string> = {}): EndpointAnswer {
  return answer(WORKFLOW_ERRORS[code].status, { code, message: `${what}. [${code}]` }, more);
}

function refused(status: number, what: string, more: Record<string, string> = {}): EndpointAnswer {
  const code: WorkflowErrorCode = 'WF_WEBHOOK_REFUSED';
  return answer(status, { code, message: `${what}. [${code}]` }, more);
}

/** The URL is a secret: no page that is shown for it may tell it on. */
function answer(status: number, body: unknown, more: Record<string, string> = {}): EndpointAnswer {
  const headers = { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer', ...more };
  if (body === undefined) return { status, headers, body: '' };
  return {
    status,
    headers: { ...headers, 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify(body),
  };
}
