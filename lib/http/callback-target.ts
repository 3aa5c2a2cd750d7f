import type { buildConnector, Pool } from 'undici';
import { callbackUrl } from './callback-route.js';
import type { ListeningAddress } from './own-address.js';
import type { OwnConnections } from './own-connections.js';
import type { Undici } from './undici.js';

/** Where deliveries go. */
export interface CallbackTarget {
  /** full URL of the callback route */
  readonly url: URL;
  /** unix socket through which it is reached */
  readonly socketPath?: string;
  /** addresses that stand for the host of the URL, to be tried in turn, instead of a look-up */
  readonly addresses?: readonly string[];
  /** true for the learnt address of this process: its certificate is not for the loopback address and not looked at */
  readonly own?: boolean;
}

/** The callback route of this very process. @param prefix as `callbackPrefix` gives it */
export function ownTarget(address: ListeningAddress, prefix: string, path: string): CallbackTarget {
  const { base, socketPath, addresses } = address;
  return { url: callbackUrl(base, prefix, path), socketPath, addresses, own: true };
}

/** The URL without what may be secret in it: no user, password, query. */
export function displayUrl(target: CallbackTarget): string {
  const at = target.socketPath === undefined ? '' : ` (unix socket ${target.socketPath})`;
  return `${target.url.origin}${target.url.pathname}${at}`;
}

/** Two targets with the same key share connections. */
export function connectionKey({ url, socketPath, own }: CallbackTarget): string {
  return JSON.stringify([url.origin, socketPath, own]);
}

export interface PoolLimits {
  readonly connections: number;
  readonly connectTimeoutMs: number;
}

/** Options of the pool of a target; apart from `openPool` so that a test can look at them. */
export function poolOptions(
  target: CallbackTarget,
  limits: PoolLimits,
): Pool.Options & { connect: buildConnector.BuildOptions } {
  const { addresses, own, socketPath } = target;
  return {
    connections: limits.connections,
    // a slow step must not hold up the request behind it
    pipelining: 1,
    // a step takes as long as it takes; a dead peer is found by TCP keep-alive, a dead process by its heartbeat
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: {
      timeout: limits.connectTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelay: 10_000,
      ...(socketPath === undefined ? {} : { socketPath }),
      ...(own ? { rejectUnauthorized: false } : {}),
      ...(addresses === undefined ? {} : { autoSelectFamily: true, lookup: fixedLookup(addresses) }),
    },
  };
}

/** @param own told of each connection before anything is sent over it */
export function openPool(
  undici: Undici,
  target: CallbackTarget,
  limits: PoolLimits,
  own?: OwnConnections,
): Pool {
  const { connect, ...options } = poolOptions(target, limits);
  const open = undici.buildConnector(connect);
  return new undici.Pool(target.url.origin, {
    ...options,
    connect: (to, done) =>
      open(to, (...outcome) => {
        if (outcome[1]) own?.opened(outcome[1]);
        done(...outcome);
      }),
  });
}

type LookupCallback = (error: Error | null, addresses: { address: string; family: number }[]) => void;

/** Only ever called with `all: true`, which is what `autoSelectFamily` asks for. */
function fixedLookup(addresses: readonly string[]) {
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  return (_host: string, _options: unknown, callback: LookupCallback): void => callback(null, found);
}
