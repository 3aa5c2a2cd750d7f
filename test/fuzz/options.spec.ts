import { Logger } from '@nestjs/common';
import fc from 'fast-check';
import { expect } from 'vitest';
import { Schedule, Step, VerifyWebhook, Workflow, WorkflowModule, type Duration } from 'nestjs-workflow';
import { timesOf } from '../../lib/authoring/timetable.js';
import { schedulesOf } from '../../lib/authoring/schedule.js';
import { parseDuration } from '../../lib/engine/duration.js';
import { resolveFlowControl } from '../../lib/engine/flow-control.js';
import { resolvePriority } from '../../lib/engine/priority.js';
import { resolveRetry } from '../../lib/engine/retry.js';
import { retryDelayMs } from '../../lib/engine/retry-delay.js';
import { resolveSingleton } from '../../lib/engine/singleton.js';
import { createSigningKeys } from '../../lib/http/index.js';
import { resolveDatabase } from '../../lib/typeorm/resolve-database.js';
import { resolveConfig } from '../../lib/workflow.config.js';
import { Cases, givesOrRefuses } from './support.js';
import { anything, mostly, strangeRecord, text } from './strange.js';

// of a module that is made again and again @nestjs/typeorm says so each time
Logger.overrideLogger(false);

const cases = new Cases('options');
const duration = fc.constantFrom<unknown>('0ms', '1s', '5m', '2h', '7d', '1.5h', '13h');
const count = fc.integer({ min: 1, max: 100 });
const limits = { key: fc.string(), parallelism: count, rate: count, period: duration };
const singleton = { key: fc.string(), policy: fc.constantFrom('queue', 'skip', 'cancel-previous') };
const retries = {
  retries: fc.nat(9),
  backoff: strangeRecord({ initial: duration, factor: count, max: duration, jitter: fc.boolean() }),
  retryDelay: fc.oneof(duration, fc.constant('pow(2, retried) * 1000')),
};
const step = { name: fc.string(), timeout: duration, ...retries, flowControl: strangeRecord(limits) };

cases.property(
  'options of the module',
  3000,
  strangeRecord({
    path: fc.string(),
    dataSource: fc.string(),
    schema: fc.string(),
    transport: fc.constantFrom('http', 'in-process'),
    http: strangeRecord({
      url: fc.webUrl(),
      publicUrl: fc.webUrl(),
      signingKey: fc.string({ minLength: 32 }),
      nextSigningKey: fc.string({ minLength: 32 }),
      stepsPerCall: count,
      calls: strangeRecord({
        deny: fc.array(fc.ipV4()),
        allow: fc.array(fc.oneof(fc.ipV6(), fc.domain())),
        timeout: duration,
        maxResponseBytes: count,
        concurrency: count,
      }),
    }),
    worker: strangeRecord({
      concurrency: count,
      pollInterval: duration,
      heartbeat: duration,
      leaseTimeout: duration,
      shutdownGrace: duration,
    }),
    steps: strangeRecord(step),
    maxPayloadBytes: count,
    maxSteps: count,
  }),
  async (options: any) => {
    const config = await givesOrRefuses(() => resolveConfig(options));
    if (config) {
      expect(config.leaseTimeoutMs).toBeGreaterThanOrEqual(3 * config.heartbeatMs);
      for (const value of [config.concurrency, config.pollMs, config.maxPayloadBytes, config.maxSteps])
        expect(Number.isSafeInteger(value) && value > 0).toBe(true);
      // what was taken for good is good for those who come after
      const { url, publicUrl } = options.http ?? {};
      for (const one of [url, publicUrl])
        if (one !== undefined) expect(new URL(one).protocol).toMatch(/^https?:$/);
      await givesOrRefuses(() => createSigningKeys(options.http ?? {}).accepted);
    }
    await givesOrRefuses(() => WorkflowModule.forRoot(options));
    await givesOrRefuses(() => WorkflowModule.forRootAsync(options));
  },
);

cases.property(
  'where the journal lies',
  1000,
  strangeRecord({
    url: fc.constantFrom('postgres://user@host:5432/name', 'mysql://host/name', 'postgres://'),
    embedded: fc.constantFrom('memory', '.workflow'),
    dataSource: fc.string(),
    type: fc.constantFrom('postgres', 'mysql', 'sqlite'),
  }),
  async (database: any) => {
    await givesOrRefuses(() => resolveDatabase(database, undefined, 'test'));
    await givesOrRefuses(() => WorkflowModule.forRoot({ database }));
  },
);

cases.property(
  'what stands on a workflow class',
  3000,
  strangeRecord({
    version: fc.constantFrom('1', '2'),
    takesOver: fc.array(fc.constantFrom('1', '2', null)),
    stepDefaults: strangeRecord(step),
    singleton: strangeRecord(singleton),
    ...step,
    name: fc.constant('order'),
  }),
  async (options: any) => {
    await givesOrRefuses(() => {
      class Order {
        async run(): Promise<void> {}
      }
      Workflow(options)(Order);
    });
  },
);

cases.property(
  'what stands on a step',
  2000,
  strangeRecord({ ...step, key: fc.constant(() => 'key') }),
  async (options: any) => {
    await givesOrRefuses(() => {
      class Service {
        async charge(): Promise<number> {
          return 1;
        }
      }
      const descriptor = Object.getOwnPropertyDescriptor(Service.prototype, 'charge')!;
      Step(options)(Service.prototype, 'charge', descriptor as never);
    });
    await givesOrRefuses(() => VerifyWebhook(options)({}, 'method', {}));
  },
);

const field = fc.oneof(
  fc.constantFrom('*', '0', '*/5', '1-5', '59', 'L', '?', '5#2', '1W', 'MON', 'JAN', '30', '31'),
  fc.string({ maxLength: 3 }),
  fc.integer({ min: -1, max: 70 }).map(String),
);
const cron = fc.oneof(
  fc.array(field, { minLength: 4, maxLength: 7 }).map((fields) => fields.join(' ')),
  fc.constantFrom('@daily', '@never', '0 0 30 2 *', '2030-01-01T00:00:00'),
  text(),
);

cases.property(
  'schedules: patterns, intervals and zones',
  3000,
  strangeRecord({
    cron,
    every: duration,
    timezone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns', '+02:00', 'Nowhere/Land'),
    overlap: fc.constantFrom('allow', 'skip', 'queue', 'cancel-previous'),
    catchUp: fc.constantFrom('skip', 'last', 'all'),
    labels: fc.array(fc.string()),
  }),
  async (options: any) => {
    class Nightly {
      async run(): Promise<void> {}
    }
    await givesOrRefuses(() => Schedule(options)(Nightly as never));
    const now = Date.UTC(2031, 4, 5, 12);
    for (const rules of schedulesOf(Nightly)) {
      const next = timesOf(rules).next(now);
      if (next !== null) expect(next).toBeGreaterThan(now);
    }
  },
);

const number = fc.oneof(
  fc.nat().map(String),
  fc.double().map(String),
  fc.constantFrom('0', '1.5', '.5', '007'),
);
cases.property(
  'lengths of time',
  2000,
  mostly(
    fc.oneof(
      fc.tuple(number, fc.constantFrom('ms', 's', 'm', 'h', 'd', 'w', ' s', 'S')).map((of) => of.join('')),
    ),
  ),
  async (given) => {
    const ms = await givesOrRefuses(() => parseDuration(given as Duration));
    if (ms !== undefined) expect(Number.isSafeInteger(ms) && ms >= 0).toBe(true);
  },
);

const term: fc.Arbitrary<string> = fc.oneof(
  number,
  fc.constantFrom(
    'retried',
    'pow(2, retried)',
    'max(1,2)',
    'min()',
    '-retried',
    'this',
    'process.exit()',
    '((((',
  ),
);
cases.property(
  'delays between attempts',
  2000,
  fc.oneof(
    fc
      .array(fc.tuple(fc.constantFrom('+', '-', '*', '/', '**', '%', ',', ';', '?', '.', '=>'), term), {
        maxLength: 6,
      })
      .map((parts) => ['retried', ...parts.flat()].join(' ')),
    anything,
  ),
  async (retryDelay: any) => {
    const policy = await givesOrRefuses(() => resolveRetry({ retryDelay }));
    if (policy?.delay === undefined) return;
    const delay = retryDelayMs(policy.delay, 3, { name: 'Error', message: 'no' });
    if (delay.ok) expect(Number.isSafeInteger(delay.ms) && delay.ms >= 0).toBe(true);
    else expect(typeof delay.why).toBe('string');
  },
);

cases.property(
  'flow control, singletons and priorities',
  2000,
  fc.tuple(strangeRecord(limits), strangeRecord(singleton), anything),
  async ([flow, one, priority]) => {
    const resolved = await givesOrRefuses(() => resolveFlowControl(flow, 'it', [one]));
    if (resolved) expect(typeof resolved.key === 'string' && resolved.key.length <= 512).toBe(true);
    const key = await givesOrRefuses(() => resolveSingleton(one, [flow]).key);
    if (key !== undefined) expect(key.length > 0 && key.length <= 512 && !key.includes('\0')).toBe(true);
    const given = await givesOrRefuses(() => resolvePriority(priority));
    if (given !== undefined) expect(Math.abs(given)).toBeLessThanOrEqual(10);
  },
);
