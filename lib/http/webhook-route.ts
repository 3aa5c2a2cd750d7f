import { RequestMethod } from '@nestjs/common';
import type { ApplicationConfig } from '@nestjs/core';
import { joinPath, prefixOf, urlBelow } from './callback-route.js';

/** Last part of the route; the controller takes it as a parameter. */
export const TOKEN_PARAMETER = ':token';

/** Route below which the webhooks lie, below the global prefix: `workflow` → `workflow/hooks`. */
export const webhookRoute = (path: string): string => joinPath(path, 'hooks');

/** The global prefix as it applies to the webhooks: '' when there is none, or when the application excludes their route. */
export function webhookPrefix(config: ApplicationConfig, path: string): string {
  return prefixOf(config, joinPath(webhookRoute(path), TOKEN_PARAMETER), RequestMethod.ALL);
}

/**
 * Full URL of a webhook.
 * @param base where the outside world reaches the application, with a path if a proxy adds one
 * @param prefix as `webhookPrefix` gives it
 */
export function webhookUrl(base: string | URL, prefix: string, path: string, token: string): URL {
  return urlBelow(base, prefix, webhookRoute(path), token);
}
