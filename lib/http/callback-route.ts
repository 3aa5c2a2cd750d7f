import { RequestMethod } from '@nestjs/common';
import { ApplicationConfig } from '@nestjs/core';
import { DELIVER_ROUTE } from './protocol.js';

const trim = (path: string): string => path.replace(/^\/+|\/+$/g, '');

/** Route of the callbacks below the global prefix: `workflow` → `workflow/deliver`. */
export function callbackRoute(path: string): string {
  return [trim(path), DELIVER_ROUTE].filter(Boolean).join('/');
}

/** The global prefix as it applies to the callbacks: '' when there is none, or when the application excludes their route. */
export function callbackPrefix(config: ApplicationConfig, path: string): string {
  const prefix = trim(config.getGlobalPrefix());
  const route = `/${callbackRoute(path)}`;
  const excluded = (config.getGlobalPrefixOptions().exclude ?? []).some(
    ({ requestMethod, pathRegex }) => coversPost(requestMethod) && pathRegex.test(route),
  );
  return excluded ? '' : prefix;
}

/**
 * Full URL of the callbacks.
 * @param base where the application is reached, with a path if a proxy adds one; its query is kept
 * @param prefix as `callbackPrefix` gives it
 */
export function callbackUrl(base: string | URL, prefix: string, path: string): URL {
  const url = new URL(base);
  url.pathname = `/${[trim(url.pathname), trim(prefix), callbackRoute(path)].filter(Boolean).join('/')}`;
  url.hash = '';
  return url;
}

/** How Nest marks a path that was excluded without a method. */
const ALL_WITHOUT_METHOD: ReadonlySet<number> = new Set([-1]);

function coversPost(method: RequestMethod): boolean {
  return method === RequestMethod.POST || method === RequestMethod.ALL || ALL_WITHOUT_METHOD.has(method);
}
