import { RequestMethod } from '@nestjs/common';
import { ApplicationConfig } from '@nestjs/core';
import { DELIVER_ROUTE } from './protocol.js';

const trim = (path: string): string => path.replace(/^\/+|\/+$/g, '');

/** Parts of a path, any of them empty, without slashes at its ends. */
export const joinPath = (...parts: string[]): string => parts.map(trim).filter(Boolean).join('/');

/** Route of the callbacks below the global prefix: `workflow` → `workflow/deliver`. */
export function callbackRoute(path: string): string {
  return joinPath(path, DELIVER_ROUTE);
}

/** The global prefix as it applies to the callbacks: '' when there is none, or when the application excludes their route. */
export function callbackPrefix(config: ApplicationConfig, path: string): string {
  return prefixOf(config, callbackRoute(path), RequestMethod.POST);
}

/** The global prefix as it applies to a route of this method; a route of all methods is excluded for all or not at all. */
export function prefixOf(config: ApplicationConfig, route: string, method: RequestMethod): string {
  const excluded = (config.getGlobalPrefixOptions().exclude ?? []).some(
    ({ requestMethod, pathRegex }) => covers(requestMethod, method) && pathRegex.test(`/${route}`),
  );
  return excluded ? '' : trim(config.getGlobalPrefix());
}

/**
 * Full URL of the callbacks.
 * @param base where the application is reached, with a path if a proxy adds one; its query is kept
 * @param prefix as `callbackPrefix` gives it
 */
export function callbackUrl(base: string | URL, prefix: string, path: string): URL {
  return urlBelow(base, prefix, callbackRoute(path));
}

/** @param base its path stays in front, its query is kept */
export function urlBelow(base: string | URL, ...parts: string[]): URL {
  const url = new URL(base);
  url.pathname = `/${joinPath(url.pathname, ...parts)}`;
  url.hash = '';
  return url;
}

/** How Nest marks a path that was excluded without a method. */
const ALL_WITHOUT_METHOD: ReadonlySet<number> = new Set([-1]);

function covers(excluded: RequestMethod, method: RequestMethod): boolean {
  return excluded === method || excluded === RequestMethod.ALL || ALL_WITHOUT_METHOD.has(excluded);
}
