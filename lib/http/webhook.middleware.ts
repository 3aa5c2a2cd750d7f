import {
  Inject,
  Injectable,
  RequestMethod,
  type MiddlewareConsumer,
  type NestMiddleware,
} from '@nestjs/common';
import { AbstractHttpAdapter, ApplicationConfig, HttpAdapterHost } from '@nestjs/core';
import { joinPath } from './callback-route.js';
import { streamOf, type HostRequest, type HostResponse } from './host.js';
import { serveWebhook } from './serve-webhook.js';
import { WebhookEndpoint } from './webhook.endpoint.js';
import { TOKEN_PARAMETER, webhookPrefix, webhookRoute } from './webhook-route.js';

/**
 * Answers calls of webhooks before global guards, pipes and interceptors of the application see them: a sender from outside has
 * no login there, and what it may do the token says, and `@VerifyWebhook`.
 */
@Injectable()
export class WebhookMiddleware implements NestMiddleware<HostRequest, HostResponse> {
  constructor(@Inject(WebhookEndpoint) private readonly endpoint: WebhookEndpoint) {}

  async use(request: HostRequest, response: HostResponse): Promise<void> {
    await serveWebhook(this.endpoint, request, response);
  }
}

/** Call in `configure(consumer)` of the module that provides `WebhookEndpoint`. @param path that of the controller */
export function applyWebhookMiddleware(consumer: MiddlewareConsumer, path: string): void {
  consumer
    .apply(WebhookMiddleware)
    .forRoutes({ path: joinPath(webhookRoute(path), TOKEN_PARAMETER), method: RequestMethod.ALL });
}

/** A layer of Express' router. */
interface Layer {
  readonly handle?: { readonly name?: string };
}
interface ExpressLikeAdapter {
  use(handler: (request: HostRequest, response: HostResponse, next: () => void) => void): unknown;
  getInstance(): { readonly router?: { readonly stack?: Layer[] } };
}

/** Names of the functions that the parsers of Express are; Nest looks for them in the same way. */
const PARSERS: ReadonlySet<string | undefined> = new Set([
  'jsonParser',
  'urlencodedParser',
  'textParser',
  'rawParser',
]);

/** The rest of a URL: a token, and perhaps a query. */
const ONE_PART = /^[^/?]+\/?(\?|$)/;

/**
 * Nest runs its middleware behind the body parsers of Express, where the bytes of JSON and forms are gone unless the application
 * keeps them (`rawBody: true`). This one stands in front of the first parser, and behind all that the application has put before
 * it (CORS, rate limits, logs). On Fastify every middleware runs before the parsers.
 *
 * Call in `configure()`: by then the parsers are there.
 */
export function answerBeforeParsers(
  host: HttpAdapterHost,
  config: ApplicationConfig,
  endpoint: WebhookEndpoint,
  path: string,
): void {
  const adapter: unknown = host.httpAdapter;
  if (!isExpress(adapter)) return;
  const below = `/${joinPath(webhookPrefix(config, path), webhookRoute(path))}/`;
  adapter.use((request, response, next) => {
    const url = request.originalUrl ?? streamOf(request).url ?? '';
    if (url.startsWith(below) && ONE_PART.test(url.slice(below.length)))
      void serveWebhook(endpoint, request, response);
    else next();
  });
  const stack = adapter.getInstance().router?.stack;
  if (!Array.isArray(stack)) return;
  const parser = stack.findIndex((layer) => PARSERS.has(layer?.handle?.name));
  if (parser >= 0) stack.splice(parser, 0, stack.pop()!);
}

function isExpress(adapter: unknown): adapter is ExpressLikeAdapter {
  return adapter instanceof AbstractHttpAdapter && adapter.getType() === 'express';
}
