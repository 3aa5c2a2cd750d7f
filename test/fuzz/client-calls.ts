import fc from 'fast-check';
import type { WorkflowClient } from 'nestjs-workflow';
import { Echo, Keyed } from './engine.js';
import { anything, mostly, oddity, strangeRecord, text } from './strange.js';

/** Calls of the client, of which any argument may be anything. */
export type ClientCall = (client: WorkflowClient) => unknown;

const duration = fc.constantFrom<unknown>('0ms', '1s', '5m', '7d', '999w');
const runId = fc.constantFrom('there', 'keyed', 'nowhere', 'next run');
const label = fc.constantFrom('mine', 'yours');
const labels = fc.array(mostly(label), { maxLength: 3 });
const date = fc.oneof(fc.date(), fc.constantFrom(new Date(-8.64e15), new Date(8.64e15), new Date(0)));
const workflow = fc.constantFrom<unknown>(Echo, Keyed, 'echo', 'keyed', 'unknown');
const count = fc.integer({ min: 1, max: 1000 });
const flowControl = strangeRecord({
  key: fc.string({ minLength: 1 }),
  parallelism: count,
  rate: count,
  period: duration,
});
const singleton = strangeRecord({
  key: fc.string({ minLength: 1 }),
  policy: fc.constantFrom('queue', 'skip', 'cancel-previous'),
});
const options = {
  runId,
  delay: duration,
  notBefore: date,
  labels,
  flowControl,
  priority: fc.integer({ min: -11, max: 11 }),
  singleton,
};
const triggerOptions = strangeRecord({ ...options, manager: fc.constant(undefined) });
const payload = fc.oneof(fc.jsonValue(), fc.constant({ tenant: 'a', order: 1 }), anything);
const event = fc.oneof(fc.constantFrom<unknown>('paid', { id: 'paid:7' }, { id: Symbol('id') }), text());
const filter = strangeRecord({
  workflow,
  status: fc.constantFrom('pending', 'running', 'waiting', 'completed', 'failed', 'cancelled'),
  label,
  createdAfter: date,
  createdBefore: date,
});
const query = strangeRecord({
  workflow,
  status: fc.constantFrom('pending', 'cancelled'),
  label,
  createdAfter: date,
  stuck: fc.constant(true),
  limit: count,
  cursor: fc.constantFrom('1', '999999999999999999', '-1', '1e5'),
});
const key = fc.oneof(fc.string({ minLength: 1 }), oddity);
const schedule = strangeRecord({
  id: fc.constantFrom('nightly', 'hourly'),
  cron: fc.constantFrom('0 3 * * *', '*/5 * * * *', '61 * * * *'),
  every: fc.constantFrom('1s', '1h', '999w'),
  timezone: fc.constantFrom('UTC', 'Europe/Berlin'),
  overlap: fc.constantFrom('allow', 'skip'),
  catchUp: fc.constantFrom('last', 'all'),
  labels,
  payload,
});

/** The types of the client say what may be passed: here everything may. */
type Loose = Record<string, (...args: unknown[]) => unknown>;
const on = (client: unknown, name: string, args: unknown[]): unknown => (client as Loose)[name]!(...args);

const calls = (name: string, ...args: fc.Arbitrary<unknown>[]): fc.Arbitrary<ClientCall> =>
  fc
    .tuple(...args.map((good) => mostly(good, 6)))
    .map((given): ClientCall =>
      Object.assign((client: WorkflowClient) => on(client, name, given), { what: name, given }),
    );

const below = (
  part: 'schedules' | 'flowControl',
  name: string,
  ...args: fc.Arbitrary<unknown>[]
): fc.Arbitrary<ClientCall> =>
  fc.tuple(...args.map((good) => mostly(good, 6))).map((given): ClientCall =>
    Object.assign((client: WorkflowClient) => on(client[part], name, given), {
      what: `${part}.${name}`,
      given,
    }),
  );

/** Of a handle; `result` is asked for with a time, as nobody executes the runs. */
const ofHandle = (name: string, ...args: fc.Arbitrary<unknown>[]): fc.Arbitrary<ClientCall> =>
  fc
    .tuple(mostly(workflow), mostly(runId, 6), ...args)
    .map(([which, id, ...given]): ClientCall =>
      Object.assign(
        async (client: WorkflowClient) => on(client.run(which as string, id as string), name, given),
        { what: `handle.${name}`, given: [which, id, ...given] },
      ),
    );

export const CLIENT_CALLS: Readonly<Record<string, { share: number; calls: fc.Arbitrary<ClientCall> }>> = {
  trigger: { share: 5000, calls: calls('trigger', workflow, payload, triggerOptions) },
  triggerMany: {
    share: 3000,
    calls: calls(
      'triggerMany',
      workflow,
      fc.array(strangeRecord({ ...options, payload }), { maxLength: 4 }),
      strangeRecord({ manager: fc.constant(undefined) }),
    ),
  },
  notify: {
    share: 3000,
    calls: calls(
      'notify',
      event,
      payload,
      strangeRecord({ runId, keepFor: duration, manager: fc.constant(undefined) }),
    ),
  },
  cancel: {
    share: 2000,
    calls: calls('cancel', fc.oneof(runId, fc.array(mostly(runId), { maxLength: 4 }), filter)),
  },
  list: { share: 1500, calls: calls('list', query) },
  resume: {
    share: 1000,
    calls: calls(
      'resume',
      fc.oneof(runId, fc.array(mostly(runId), { maxLength: 4 })),
      strangeRecord({ version: fc.constantFrom<unknown>(null, '1') }),
    ),
  },
  'get, journal and getWaiters': {
    share: 1000,
    calls: fc.oneof(calls('get', runId), calls('journal', runId), calls('getWaiters', event)),
  },
  handles: {
    share: 1500,
    calls: fc.oneof(
      ofHandle('get'),
      ofHandle('cancel'),
      ofHandle('notify', event, payload),
      // a run that does not end is waited for: only what is refused before, or not found
      ofHandle(
        'result',
        strangeRecord({ timeout: fc.constant('none') }).filter((given) => !waits(given)),
      ),
    ),
  },
  schedules: {
    share: 1500,
    calls: fc.oneof(
      below('schedules', 'create', workflow, schedule),
      below('schedules', 'get', fc.constantFrom('nightly', 'none')),
      below(
        'schedules',
        'list',
        strangeRecord({ workflow, limit: count, cursor: fc.string({ minLength: 1 }) }),
      ),
      below('schedules', 'pause', fc.constantFrom('nightly', 'none')),
      below('schedules', 'resume', fc.constantFrom('nightly', 'none')),
      below('schedules', 'trigger', fc.constantFrom('nightly', 'none')),
      below('schedules', 'delete', fc.constantFrom('nightly', 'none')),
    ),
  },
  'flow control': {
    share: 500,
    calls: fc.oneof(
      below('flowControl', 'pause', key),
      below('flowControl', 'resume', key),
      below('flowControl', 'info', key),
      below('flowControl', 'list', strangeRecord({ limit: count, after: key })),
    ),
  },
};

/** True for options of `result` that are good, or none. */
function waits(given: unknown): boolean {
  try {
    return (given as { timeout?: unknown } | null | undefined)?.timeout === undefined;
  } catch {
    return false;
  }
}
