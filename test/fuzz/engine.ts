import type { Type } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Workflow, WorkflowClient, WorkflowContext, type WorkflowHandler } from 'nestjs-workflow';
import {
  ResultWaiter,
  WorkflowCommands,
  WorkflowFlowControls,
  WorkflowSchedules,
  WorkflowWebhooks,
} from '../../lib/client/index.js';
import type { NotifyResult } from '../../lib/authoring/index.js';
import { DevalueCodec } from '../../lib/codec/devalue.codec.js';
import {
  RunIntake,
  ScheduleStore,
  type DueSchedules,
  type Moved,
  type NotifyRequest,
  type ScheduleFilter,
  type ScheduleRecord,
  type ScheduleRow,
  type Triggered,
  type TriggerRow,
  type WebhookCallRequest,
} from '../../lib/ports/index.js';
import { DEFAULT_RETRY } from '../../lib/engine/retry.js';
import { WorkflowRegistry, type WorkflowDefinition } from '../../lib/registry/index.js';
import { SystemChance } from '../../lib/runtime/system-chance.js';
import { SettableClock } from '../contract/support.js';
import { MemoryRunStore } from '../simulation/memory/memory-run-store.js';
import { MemoryTables } from '../simulation/memory/tables.js';

export const MAX_BYTES = 100_000;

@Workflow({ name: 'echo' })
export class Echo {
  async run(ctx: WorkflowContext): Promise<unknown> {
    return ctx.payload;
  }
}

/** Its keys come from the payload, which may be anything. */
const KEYS: Pick<WorkflowDefinition, 'flowControl' | 'singleton'> = {
  flowControl: { key: (payload) => payload.tenant, parallelism: 1 },
  singleton: { key: (payload) => `order ${payload.order}`, policy: 'queue' },
};

@Workflow({ name: 'keyed' })
export class Keyed extends Echo {}

export const definitionOf = (
  type: Type<WorkflowHandler<any, any>>,
  more: Partial<WorkflowDefinition>,
): WorkflowDefinition => ({
  name: 'echo',
  version: null,
  takesOver: [],
  type,
  retry: DEFAULT_RETRY,
  stepDefaults: {},
  timeoutMs: null,
  onFailure: null,
  schedules: [],
  verifiers: new Map(),
  instance: () => Promise.resolve(new type()),
  ...more,
});

/** New runs go straight into the store; nobody executes them. */
class Intake extends RunIntake {
  constructor(private readonly store: MemoryRunStore) {
    super();
  }
  async trigger(row: Omit<TriggerRow, 'owner'>): Promise<Triggered> {
    const [triggered] = await this.store.trigger([{ ...row, owner: null }]);
    return triggered!;
  }
  triggerMany(
    rows: readonly Omit<TriggerRow, 'owner'>[],
    manager?: EntityManager,
  ): Promise<(Triggered | null)[]> {
    return this.store.triggerAll(
      rows.map((row) => ({ ...row, owner: null })),
      manager,
    );
  }
  async notify(request: NotifyRequest): Promise<NotifyResult> {
    const { woken, kept } = await this.store.notify(request);
    return { woken, kept };
  }
  repeat<R>(statement: () => Promise<R>): Promise<R> {
    return statement();
  }
  afterCommit(): void {}
  announceDue(): void {}
  announceEnded(): void {}
  announceSchedules(): void {}
  onEnded(): () => void {
    return () => undefined;
  }
  isUnderWay(): boolean {
    return false;
  }
  abort(): void {}
  settle(): void {}
}

/** Schedules that are kept and never due. */
class Schedules extends ScheduleStore {
  readonly rows = new Map<string, ScheduleRecord>();

  constructor(private readonly now: () => number) {
    super();
  }
  async due(): Promise<DueSchedules> {
    return { due: [], queued: false, nextAt: null, now: this.now() };
  }
  async move(): Promise<Moved> {
    return { moved: [], cancelled: [] };
  }
  async put(rows: readonly ScheduleRow[]): Promise<string[]> {
    const at = this.now();
    const unset = { paused: false, revision: 1, lastAt: null, lastRunId: null, createdAt: at, updatedAt: at };
    const changed = rows.filter(({ id, workflow }) => (this.rows.get(id)?.workflow ?? workflow) === workflow);
    for (const row of changed) this.rows.set(row.id, { ...unset, ...this.rows.get(row.id), ...row });
    return changed.map(({ id }) => id);
  }
  async removeUndeclared(): Promise<string[]> {
    return [];
  }
  async find(id: string): Promise<{ now: number; schedule: ScheduleRecord | null }> {
    return { now: this.now(), schedule: this.rows.get(id) ?? null };
  }
  async list({ workflow, after, limit }: ScheduleFilter): Promise<ScheduleRecord[]> {
    const all = [...this.rows.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    return all
      .filter((row) => (workflow === null || row.workflow === workflow) && (after === null || row.id > after))
      .slice(0, limit);
  }
  async pause(id: string): Promise<boolean> {
    return this.#change(id, { paused: true });
  }
  async resume(id: string, _revision: number, nextAt: number | null): Promise<boolean> {
    return this.#change(id, { paused: false, nextAt });
  }
  async remove(id: string): Promise<boolean> {
    return this.rows.delete(id);
  }
  #change(id: string, change: Partial<ScheduleRecord>): boolean {
    const row = this.rows.get(id);
    if (row) this.rows.set(id, { ...row, ...change });
    return row !== undefined;
  }
}

/** Remembers what the calls of webhooks bring. */
class WatchedStore extends MemoryRunStore {
  readonly calls: WebhookCallRequest[] = [];

  override callWebhook(request: WebhookCallRequest): Promise<'due' | 'kept' | 'gone'> {
    this.calls.push(request);
    return super.callWebhook(request);
  }
}

/** The client and what lets webhooks in, over tables in memory: no application, no database, one for each case. */
export class Engine {
  readonly clock = new SettableClock();
  readonly tables = new MemoryTables();
  readonly store = new WatchedStore(this.tables, this.clock);
  readonly schedules = new Schedules(() => this.clock.now);
  readonly codec = new DevalueCodec({ maxBytes: MAX_BYTES });
  readonly client: WorkflowClient;
  readonly webhooks: WorkflowWebhooks;

  constructor() {
    const { clock, store, codec } = this;
    const registry = new WorkflowRegistry();
    registry.add(definitionOf(Echo, {}));
    registry.add(definitionOf(Keyed, { name: 'keyed', ...KEYS }));
    const intake = new Intake(store);
    const urls = { urlOf: (token: string) => `https://public.test/${token}` };
    const commands = new WorkflowCommands(registry, store, intake, codec, urls, new SystemChance());
    this.client = new WorkflowClient(
      commands,
      store,
      intake,
      new ResultWaiter(store, intake, clock),
      codec,
      new WorkflowSchedules(this.schedules, commands, registry, intake, codec),
      new WorkflowFlowControls(store, intake),
    );
    this.webhooks = new WorkflowWebhooks(registry, store, intake, codec, clock);
  }

  /** Everything that is stored: two of them are equal when nothing was written in between. */
  dump(): string {
    const { runs, steps, tasks, messages, workers, flows } = this.tables;
    const all = [runs, tasks, messages, workers, flows, this.schedules.rows].map((map) => [...map]);
    return JSON.stringify([all, [...steps].map(([run, rows]) => [run, [...rows]])]);
  }
}
