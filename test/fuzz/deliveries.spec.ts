import { Logger } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, expect } from 'vitest';
import { Workflow, WorkflowContext } from 'nestjs-workflow';
import { WorkflowCommands } from '../../lib/client/index.js';
import { DevalueCodec } from '../../lib/codec/devalue.codec.js';
import { CallbackEndpoint, CONTENT_TYPE, MessageVerifier, SIGNATURE_HEADER } from '../../lib/http/index.js';
import {
  Chance,
  Clock,
  Codec,
  RunEffects,
  RunIntake,
  RunStore,
  SignalChannel,
  WebhookUrls,
  type Delivery,
} from '../../lib/ports/index.js';
import { WorkflowRegistry } from '../../lib/registry/index.js';
import { ActivationCache } from '../../lib/runtime/activation-cache.js';
import { ActivationFactory } from '../../lib/runtime/activation-factory.js';
import { Aftermath } from '../../lib/runtime/aftermath.js';
import { LeftSteps } from '../../lib/runtime/left-steps.js';
import { LocalEnds } from '../../lib/runtime/local-ends.js';
import { StepAnswers } from '../../lib/runtime/step-answers.js';
import { WokenRuns } from '../../lib/runtime/woken-runs.js';
import { Capacity } from '../../lib/runtime/capacity.js';
import { RuntimeConfig } from '../../lib/runtime/config.js';
import { DeliveryExecutor } from '../../lib/runtime/delivery-executor.js';
import { RemoteDeliveries } from '../../lib/runtime/delivery-handlers.js';
import { TaskIntake } from '../../lib/runtime/intake.js';
import { JournalWriter } from '../../lib/runtime/journal-writer.js';
import { Leases } from '../../lib/runtime/leases.js';
import { RunDeliveries } from '../../lib/runtime/run-deliveries.js';
import { Signals } from '../../lib/runtime/signals.js';
import { StepDeliveries } from '../../lib/runtime/step-deliveries.js';
import { StepRunner } from '../../lib/runtime/step-runner.js';
import { SystemChance } from '../../lib/runtime/system-chance.js';
import { SystemClock } from '../../lib/runtime/system-clock.js';
import { resolveConfig } from '../../lib/workflow.config.js';
import { keys, signer } from '../http/support.js';
import { MemoryRunStore } from '../simulation/memory/memory-run-store.js';
import { MemoryTables } from '../simulation/memory/tables.js';
import { definitionOf } from './engine.js';
import { text } from './strange.js';
import { Cases } from './support.js';

const cases = new Cases('deliveries');
Logger.overrideLogger(false);

let charged = 0;

/** Two steps at a time, each a task of its own, and then a wait. */
@Workflow({ name: 'order' })
class Order {
  async run(ctx: WorkflowContext): Promise<unknown> {
    const charge = (): number => ++charged;
    await Promise.all([ctx.run('charge', charge), ctx.run('ship', charge)]);
    return ctx.waitForEvent('paid', 'paid');
  }
}

/** Other code, which must never be run for an order. */
@Workflow({ name: 'other' })
class Other {
  async run(ctx: WorkflowContext): Promise<unknown> {
    return ctx.run('other', () => 'never for an order');
  }
}

/** Tables that a case may have for itself. */
class FreshStore extends MemoryRunStore {
  begin(): MemoryTables {
    const tables = new MemoryTables();
    Object.assign(this, { tables });
    return tables;
  }
}

class NoSignals extends SignalChannel {
  async send(): Promise<void> {}
  async listen(): Promise<() => Promise<void>> {
    return async () => {};
  }
}

let module: TestingModule;
let endpoint: CallbackEndpoint;
let store: FreshStore;
const DISPATCHER = 'ffffffff-ffff-4fff-8fff-ffffffffffff';

beforeAll(async () => {
  const clock = new SystemClock();
  store = new FreshStore(new MemoryTables(), clock);
  module = await Test.createTestingModule({
    providers: [
      { provide: Clock, useValue: clock },
      { provide: Chance, useClass: SystemChance },
      { provide: Codec, useValue: new DevalueCodec({ maxBytes: 100_000 }) },
      { provide: RunStore, useValue: store },
      { provide: SignalChannel, useClass: NoSignals },
      { provide: RuntimeConfig, useValue: resolveConfig({}) },
      { provide: WebhookUrls, useValue: { urlOf: (token: string) => token } },
      { provide: RunIntake, useClass: TaskIntake },
      { provide: RunEffects, useExisting: WorkflowCommands },
      ...[
        WorkflowRegistry,
        JournalWriter,
        StepRunner,
        Signals,
        Leases,
        Capacity,
        Aftermath,
        LocalEnds,
        WokenRuns,
        StepAnswers,
        LeftSteps,
        WorkflowCommands,
      ],
      ...[
        ActivationCache,
        ActivationFactory,
        RunDeliveries,
        StepDeliveries,
        DeliveryExecutor,
        RemoteDeliveries,
      ],
    ],
  }).compile();
  // no heartbeats here: whether this process lives is another question
  module.get(StepRunner).mayStart = () => true;
  const registry = module.get(WorkflowRegistry);
  registry.add(definitionOf(Order, { name: 'order' }));
  registry.add(definitionOf(Other, { name: 'other' }));
  registry.add(definitionOf(class Newer extends Order {}, { name: 'order', version: '2' }));
  endpoint = new CallbackEndpoint(module.get(RemoteDeliveries), new MessageVerifier(keys()), {
    instance: 'i',
  });
});
afterAll(async () => {
  await module?.get(DeliveryExecutor).drain(0);
});

const dump = ({ runs, steps, tasks, messages }: MemoryTables): string =>
  JSON.stringify([[...runs], [...steps].map(([run, rows]) => [run, [...rows]]), [...tasks], [...messages]]);

async function post(delivery: Delivery): Promise<{ status: number; body: Record<string, unknown> }> {
  const body = Buffer.from(JSON.stringify(delivery));
  const signature = signer().sign('delivery', body);
  const answer = await endpoint.handle(body, { 'content-type': CONTENT_TYPE, [SIGNATURE_HEADER]: signature });
  return { status: answer.status, body: JSON.parse(answer.body) as Record<string, unknown> };
}

interface Scene {
  readonly tables: MemoryTables;
  /** the delivery that a dispatcher would send: of the run itself, or of a step of it */
  readonly genuine: Delivery;
}

let number = 0;

/** Two runs, leased to a dispatcher somewhere else: one new, or with steps that are due. */
async function scene(at: 'run' | 'step'): Promise<Scene> {
  const tables = store.begin();
  const runId = `order-${++number}`;
  const row = { labels: [], due: { inMs: 0 }, deadlineInMs: null, owner: null, parent: null, payload: '1' };
  const id = (): string => module.get(Chance).uuid();
  await store.trigger([
    { ...row, triggerId: id(), runId, workflow: 'order', version: null },
    { ...row, triggerId: id(), runId: 'bystander', workflow: 'order', version: null },
  ]);
  const claim = async (): Promise<Delivery[]> => {
    const { tasks } = await store.claim(DISPATCHER, ['order'], 10, null);
    return tasks
      .filter((task) => task.runId === runId)
      .map(({ workflow, version, taskId, fence, step }) => ({
        ...{ workflow, version, runId, taskId, fence, seq: 0 },
        ...(step !== null && { step }),
      }));
  };
  const [advance] = await claim();
  if (at === 'run') return { tables, genuine: advance! };
  expect(await post(advance!)).toMatchObject({ status: 200 });
  const steps = (await claim()).filter(({ step }) => step !== undefined);
  return { tables, genuine: steps[0]! };
}

const other = fc.oneof(text(20), fc.constantFrom('bystander', 'order', 'other', '__proto__', 'charge', '2'));
const number31 = fc.oneof(fc.nat(5), fc.nat(), fc.constantFrom(0, 2 ** 31 - 1));
const change: fc.Arbitrary<Partial<Delivery>> = fc.oneof(
  other.map((workflow) => ({ workflow })),
  fc.oneof(other, fc.constant(null)).map((version) => ({ version })),
  other.map((runId) => ({ runId })),
  fc
    .oneof(fc.nat(9).map(String), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String))
    .map((taskId) => ({ taskId })),
  number31.map((fence) => ({ fence })),
  number31.map((seq) => ({ seq })),
  other.map((step) => ({ step })),
  fc.record(
    { workflow: other, runId: other, fence: number31, seq: number31, step: other },
    { requiredKeys: [] },
  ),
);

for (const at of ['run', 'step'] as const) {
  cases.property(
    `a signed delivery of a ${at} that is wrong in meaning does nothing but what the protocol says`,
    2000,
    fc.tuple(change, fc.boolean()),
    async ([changed, genuineFirst]) => {
      const { tables, genuine } = await scene(at);
      const delivery: Delivery = { ...genuine, ...changed };
      const bad = [
        delivery.workflow,
        delivery.version ?? 'none',
        delivery.runId,
        delivery.step ?? 'none',
      ].some((name) => name === '' || name.includes('\0'));
      if (genuineFirst) await post(genuine);
      const before = dump(tables);
      const executed = charged;
      const { status, body } = await post(delivery);
      const served =
        delivery.workflow === 'order' ? [null, '2'] : delivery.workflow === 'other' ? [null] : [];
      if (bad) expect(status).toBe(400);
      else if (!served.includes(delivery.version))
        expect([status, body['code']]).toEqual([421, 'WF_NOT_SERVED']);
      else expect([200, 409]).toContain(status);
      // another lease, turn, run, workflow, version or step than the task is of: nothing is written, and no code is executed
      const sameTask = (['taskId', 'fence', 'runId', 'workflow', 'step'] as const).every(
        (name) => delivery[name] === genuine[name],
      );
      // the genuine one has made one commit, and its step is done: the turn after it is a right one too
      const rightTurn = at === 'run' && delivery.version === null && delivery.seq === (genuineFirst ? 1 : 0);
      const right = sameTask && (rightTurn || (at === 'step' && !genuineFirst));
      if (!bad && right && served.includes(delivery.version)) {
        expect(status).toBe(200);
        return;
      }
      expect(status).not.toBe(200);
      expect(dump(tables)).toBe(before);
      expect(charged).toBe(executed);
    },
  );
}
