import { randomUUID } from 'node:crypto';
import type { JournalRow } from '../../lib/engine/journal.js';
import {
  Clock,
  type AdvanceCommit,
  type Lease,
  type RunStore,
  type StepCommit,
  type Task,
  type TriggerRow,
} from '../../lib/ports/index.js';

/** A clock that stands still until it is told: what SQL takes for now. */
export class SettableClock extends Clock {
  #now = Date.UTC(2031, 4, 5, 12);

  get now(): number {
    return this.#now;
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  sqlNow(): Date {
    return new Date(this.#now);
  }

  elapsed(): number {
    return this.#now;
  }

  after(): () => void {
    return () => undefined;
  }
}

/** A store under test, on a database of its own. Everything goes through the port: no table is named in the contract. */
export interface StoreUnderTest {
  readonly store: RunStore;
  readonly clock: SettableClock;
  readonly dispose: () => Promise<void>;
}

export type StoreSetup = () => Promise<StoreUnderTest>;

/** What a contract's tests work with; each takes a workflow of its own, so that claims do not meet. */
export class Bench {
  readonly workflow = `wf-${randomUUID()}`;
  readonly worker = randomUUID();

  constructor(private readonly under: StoreUnderTest) {}

  get store(): RunStore {
    return this.under.store;
  }
  get clock(): SettableClock {
    return this.under.clock;
  }
  get now(): number {
    return this.clock.now;
  }

  row(runId: string, more: Partial<TriggerRow> = {}): TriggerRow {
    return {
      triggerId: randomUUID(),
      runId,
      workflow: this.workflow,
      version: null,
      payload: '{"n":1}',
      labels: [],
      due: { inMs: 0 },
      deadlineInMs: null,
      owner: null,
      parent: null,
      ...more,
    };
  }

  /** A run id that no other test has. */
  id(name: string): string {
    return `${name}-${this.workflow}`;
  }

  /** Claims what is due of this test's workflow. */
  async claim(limit = 100, floor: number | null = null, worker = this.worker): Promise<Task[]> {
    return [...(await this.store.claim(worker, [this.workflow], limit, floor)).tasks];
  }

  /** A run that was triggered and claimed. */
  async claimed(name = 'run', more: Partial<TriggerRow> = {}): Promise<Task> {
    await this.store.trigger([this.row(this.id(name), more)]);
    const task = (await this.claim()).find(({ runId }) => runId === this.id(name));
    if (!task) throw new Error(`${name} was not claimed`);
    return task;
  }

  /** As `claimed`, beside others that do the same: each leases its own run while inserting it. */
  async claimedTogether(name: string): Promise<Task> {
    const [triggered] = await this.store.trigger([this.row(this.id(name), { owner: this.worker })]);
    const { runId, execution } = triggered!.header;
    return {
      ...triggered!.lease!,
      execution,
      runId,
      workflow: this.workflow,
      version: null,
      step: null,
      kind: 'advance',
    };
  }

  /** A run that waits for this event and for nothing else. */
  async waiting(event: string, name = 'run', wakeAt: number | null = null): Promise<Task> {
    const task = await this.claimed(name);
    await this.commit(task, {
      rows: [this.journalRow('wait', { kind: 'wait', event, wakeAt })],
      next: { to: 'suspend', dueAt: wakeAt },
    });
    return task;
  }

  /** A run with one step task, which is claimed as well. */
  async withStep(key = 'pack', name = 'run'): Promise<{ advance: Task; step: Task }> {
    const advance = await this.claimed(name);
    await this.commit(advance, {
      rows: [this.journalRow(key, { dispatched: true })],
      tasks: [{ key, kind: 'step', dueAt: this.now }],
      next: { to: 'suspend', dueAt: null },
    });
    const step = (await this.claim()).find((task) => task.step === key && task.runId === advance.runId);
    if (!step) throw new Error(`the task of step ${key} was not claimed`);
    return { advance, step };
  }

  journalRow(key: string, more: Partial<JournalRow> = {}): JournalRow {
    return {
      key,
      name: key,
      kind: 'step',
      state: 'pending',
      position: null,
      answer: null,
      attempts: 0,
      askedAt: this.now,
      finishedAt: null,
      wakeAt: null,
      event: null,
      eventId: null,
      dispatched: false,
      digest: null,
      request: null,
      ...more,
    };
  }

  /** A fact: a step with its answer and its position. */
  fact(key: string, position: number, value = '1', more: Partial<JournalRow> = {}): JournalRow {
    return this.journalRow(key, {
      state: 'journaled',
      position,
      answer: { ok: true, value },
      attempts: 1,
      finishedAt: this.now,
      ...more,
    });
  }

  commitOf(task: Task, more: Partial<AdvanceCommit> = {}): AdvanceCommit {
    return {
      taskId: task.taskId,
      fence: task.fence,
      execution: task.execution,
      turn: null,
      wantedSeen: 0,
      rows: [],
      tasks: [],
      consumed: [],
      rollbacks: null,
      next: { to: 'continue' },
      ...more,
    };
  }

  async commit(task: Task, more: Partial<AdvanceCommit> = {}): Promise<string> {
    return (await this.store.commit([this.commitOf(task, more)]))[0]!;
  }

  answerOf(task: Task, more: Partial<StepCommit> = {}): StepCommit {
    const row = this.journalRow(task.step!, {
      answer: { ok: true, value: '"packed"' },
      attempts: 1,
      finishedAt: this.now,
      dispatched: true,
    });
    return {
      taskId: task.taskId,
      fence: task.fence,
      execution: task.execution,
      row,
      retryAt: null,
      ...more,
    };
  }

  async answer(task: Task, more: Partial<StepCommit> = {}): Promise<string> {
    return (await this.store.answer([this.answerOf(task, more)]))[0]!;
  }

  /** The fence under which this task is leased to the worker now. */
  async beat(taskId: string): Promise<number | undefined> {
    const { leases } = await this.store.beat(this.worker, []);
    return leases.find((lease) => lease.taskId === taskId)?.fence;
  }

  async load(lease: Lease, position = 0) {
    const [loaded] = await this.store.load([{ taskId: lease.taskId, fence: lease.fence, position }]);
    return loaded!;
  }

  async status(task: Task): Promise<string | undefined> {
    return (await this.store.find(task.runId))?.status;
  }
}
