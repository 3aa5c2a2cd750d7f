import type { ApplicationConfig } from '@nestjs/core';
import { WorkflowError } from '../errors/index.js';
import { WebhookUrls } from '../ports/index.js';
import { webhookPrefix, webhookUrl } from './webhook-route.js';

/** Below the public URL of the application. Its prefix is asked for each time: it is set after the modules are made. */
export class PublicWebhookUrls extends WebhookUrls {
  constructor(
    private readonly base: string | undefined,
    private readonly path: string,
    private readonly config: ApplicationConfig,
  ) {
    super();
  }

  urlOf(token: string): string {
    if (this.base === undefined)
      throw new WorkflowError('WF_NO_PUBLIC_URL', 'A webhook has no URL: the public one is not known');
    return webhookUrl(this.base, webhookPrefix(this.config, this.path), this.path, token).href;
  }
}
