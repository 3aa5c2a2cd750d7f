import { MAX_CALL_MS } from './engine/call.js';
import { parseDuration, type Duration } from './engine/duration.js';
import { given } from './engine/given.js';
import { resolveRetry } from './engine/retry.js';
import { shown } from './engine/shown.js';
import { WorkflowError } from './errors/index.js';
import { AddressGuard } from './http/index.js';
import { RuntimeConfig } from './runtime/config.js';
import type { WorkflowCallOptions, WorkflowModuleExtras, WorkflowModuleOptions } from './workflow.options.js';

/** The one set of defaults. Durations in ms here. */
const DEFAULTS = {
  concurrency: 100,
  pollMs: 1000,
  heartbeatMs: 3000,
  leaseTimeoutMs: 10_000,
  maxBlockedMs: 120_000,
  shutdownGraceMs: 20_000,
  stepsPerCall: 1,
  maxPayloadBytes: 1024 * 1024,
  callConcurrency: 500,
  callTimeoutMs: 120_000,
  maxSteps: 10_000,
  activationTimeoutMs: 30_000,
  sideSteps: true,
  parkLimit: 1000,
  maxLosses: 5,
  announceMs: 20,
} as const;

/** The options of a module, each read once; those that shape its graph are checked. @throws WorkflowError WF_INVALID_OPTIONS */
export function moduleOptions<O extends WorkflowModuleExtras>(options: O): O {
  return given(
    'The options of WorkflowModule',
    () => {
      if (typeof options !== 'object' || options === null) refuse('forRoot', options, 'an object');
      const read = { ...options };
      for (const name of ['path', 'dataSource'] as const) {
        const value: unknown = read[name];
        if (value !== undefined && typeof value !== 'string') refuse(name, value, 'a text');
      }
      return read;
    },
    'WF_INVALID_OPTIONS',
  );
}

/** Applies the defaults and checks every value. @throws WorkflowError WF_INVALID_OPTIONS, WF_INVALID_DURATION */
export function resolveConfig(
  options: WorkflowModuleOptions,
  overrides: Partial<RuntimeConfig> = {},
): RuntimeConfig {
  return given('The options of WorkflowModule', () => checked(options, overrides), 'WF_INVALID_OPTIONS');
}

function checked(options: WorkflowModuleOptions, overrides: Partial<RuntimeConfig>): RuntimeConfig {
  const worker = options.worker === false ? {} : section(options.worker, 'worker');
  const steps = section(options.steps, 'steps');
  const http = section(options.http, 'http');
  const { transport } = options;
  if (transport !== undefined && transport !== 'http' && transport !== 'in-process') {
    refuse('transport', transport, "'http' or 'in-process'");
  }
  checkUrl(http.url, 'http.url');
  checkUrl(http.publicUrl, 'http.publicUrl');
  resolveRetry(steps);
  if (steps.timeout !== undefined) parseDuration(steps.timeout);
  const heartbeatMs = duration(worker.heartbeat, DEFAULTS.heartbeatMs, 'worker.heartbeat');
  const leaseTimeoutMs = duration(worker.leaseTimeout, DEFAULTS.leaseTimeoutMs, 'worker.leaseTimeout');
  if (leaseTimeoutMs < 3 * heartbeatMs) {
    refuse(
      'worker.leaseTimeout',
      worker.leaseTimeout ?? `${leaseTimeoutMs}ms`,
      'at least three heartbeats: one late beat must not cost the leases',
    );
  }
  const maxBlockedMs = maxBlocked(worker.maxBlocked, leaseTimeoutMs);
  const maxPayloadBytes = count(options.maxPayloadBytes, DEFAULTS.maxPayloadBytes, 'maxPayloadBytes');
  return {
    worker: options.worker !== false,
    concurrency: count(worker.concurrency, DEFAULTS.concurrency, 'worker.concurrency'),
    pollMs: duration(worker.pollInterval, DEFAULTS.pollMs, 'worker.pollInterval'),
    heartbeatMs,
    leaseTimeoutMs,
    maxBlockedMs,
    shutdownGraceMs: duration(worker.shutdownGrace, DEFAULTS.shutdownGraceMs, 'worker.shutdownGrace', 0),
    steps,
    stepsPerCall: count(http.stepsPerCall, DEFAULTS.stepsPerCall, 'http.stepsPerCall'),
    maxPayloadBytes,
    calls: callConfig(http.calls, maxPayloadBytes),
    maxSteps: count(options.maxSteps, DEFAULTS.maxSteps, 'maxSteps'),
    activationTimeoutMs: DEFAULTS.activationTimeoutMs,
    sideSteps: DEFAULTS.sideSteps,
    parkLimit: DEFAULTS.parkLimit,
    maxLosses: DEFAULTS.maxLosses,
    announceMs: DEFAULTS.announceMs,
    ...overrides,
  };
}

function maxBlocked(value: Duration | false | undefined, leaseTimeoutMs: number): number {
  if (value === false) return 0;
  const ms = duration(value, Math.max(DEFAULTS.maxBlockedMs, leaseTimeoutMs), 'worker.maxBlocked');
  if (ms < leaseTimeoutMs) {
    refuse(
      'worker.maxBlocked',
      value,
      'at least the lease timeout, for so long nobody is presumed dead; or false',
    );
  }
  return ms;
}

function callConfig(asked: WorkflowCallOptions | undefined, maxPayloadBytes: number): RuntimeConfig['calls'] {
  const calls = section(asked, 'http.calls');
  // checks the addresses: the process must not first find out when it makes a call
  void new AddressGuard(calls);
  const timeoutMs = duration(calls.timeout, DEFAULTS.callTimeoutMs, 'http.calls.timeout');
  if (timeoutMs > MAX_CALL_MS) refuse('http.calls.timeout', calls.timeout, 'at most 12h');
  return {
    timeoutMs,
    maxResponseBytes: count(calls.maxResponseBytes, maxPayloadBytes, 'http.calls.maxResponseBytes'),
    concurrency: count(calls.concurrency, DEFAULTS.callConcurrency, 'http.calls.concurrency'),
  };
}

/** A group of options. Null, as some programs write nothing, is none. */
function section<T extends object>(value: T | null | undefined, name: string): Partial<T> {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object') refuse(name, value, 'an object');
  return value;
}

function duration(value: Duration | undefined, fallback: number, name: string, least = 1): number {
  if (value === undefined) return fallback;
  const ms = parseDuration(value);
  if (ms < least) refuse(name, value, `at least ${least}ms`);
  return ms;
}

function count(value: number | undefined, fallback: number, name: string): number {
  if (value === undefined) return fallback;
  if (!Number.isSafeInteger(value) || value < 1) refuse(name, value, 'a whole number above zero');
  return value;
}

function checkUrl(value: string | undefined, name: string): void {
  if (value === undefined) return;
  // what is no URL may hold a password all the same: it is not shown
  const { protocol } = typeof value === 'string' && URL.canParse(value) ? new URL(value) : { protocol: '' };
  if (protocol === 'http:' || protocol === 'https:') return;
  throw new WorkflowError('WF_INVALID_OPTIONS', `Option \`${name}\` is not an http or https URL`);
}

function refuse(name: string, value: unknown, wanted: string): never {
  throw new WorkflowError(
    'WF_INVALID_OPTIONS',
    `Option \`${name}\` is ${shown(value)}; it must be ${wanted}`,
  );
}
