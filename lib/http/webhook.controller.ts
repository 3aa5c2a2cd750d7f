import { All, Controller, Inject, Req, Res, VERSION_NEUTRAL, type Type } from '@nestjs/common';
import type { HostRequest, HostResponse } from './host.js';
import { serveWebhook } from './serve-webhook.js';
import { WebhookEndpoint } from './webhook.endpoint.js';
import { TOKEN_PARAMETER, webhookRoute } from './webhook-route.js';

/**
 * The webhook controller at a path. A class of its own per call, for two applications in one process may have two paths.
 * It answers where `WebhookMiddleware` did not run; guards, interceptors and body parsers of the application then apply.
 */
export function createWebhookController(path: string): Type<unknown> {
  @Controller({ path: webhookRoute(path), version: VERSION_NEUTRAL })
  class WorkflowWebhookController {
    constructor(@Inject(WebhookEndpoint) private readonly endpoint: WebhookEndpoint) {}

    @All(TOKEN_PARAMETER)
    async call(@Req() request: HostRequest, @Res() response: HostResponse): Promise<void> {
      await serveWebhook(this.endpoint, request, response);
    }
  }
  return WorkflowWebhookController;
}
