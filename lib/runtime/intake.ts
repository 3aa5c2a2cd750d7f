import { Injectable, Optional } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { NotifyResult } from '../engine/run-options.js';
import { queueOf } from '../engine/version.js';
import { WorkflowError } from '../errors/index.js';
import {
  Clock,
  Probe,
  RunIntake,
  RunStore,
  type EndedRun,
  type NotifyRequest,
  type Triggered,
  type TriggerRow,
} from '../ports/index.js';
import { Aftermath } from './aftermath.js';
import { Capacity } from './capacity.js';
import { JournalWriter } from './journal-writer.js';
import { Leases } from './leases.js';
import { Signals } from './signals.js';
import { StepRunner } from './step-runner.js';
import { WokenRuns } from './woken-runs.js';

/** How often it is looked whether the caller's transaction is over (a flag in memory), and for how long. */
const WATCH_MS = 5;
const WATCH_LIMIT_MS = 30_000;

/** So many of those that wait for an event start here at once; it is one, as a rule. */
const WAITERS = 8;

/** Takes new runs in: trigger-and-own where this process has capacity, group commit otherwise. */
@Injectable()
export class TaskIntake extends RunIntake {
  constructor(
    private readonly store: RunStore,
    private readonly writer: JournalWriter,
    private readonly capacity: Capacity,
    private readonly signals: Signals,
    private readonly leases: Leases,
    private readonly steps: StepRunner,
    private readonly aftermath: Aftermath,
    private readonly woken: WokenRuns,
    private readonly clock: Clock,
    @Optional() private readonly probe?: Probe,
  ) {
    super();
  }

  /** Without `async`: on the way of every run each promise counts (ADR 20). */
  trigger(row: Omit<TriggerRow, 'owner'>): Promise<Triggered> {
    const dueNow = 'inMs' in row.due && row.due.inMs === 0;
    // with flow control only a claim starts it; one that queues for its singleton key is not due yet
    const own = dueNow && !row.flow && (!row.singleton || row.singleton.policy === 'skip');
    this.capacity.uses(row.priority ?? 0);
    const owner =
      own && !this.leases.inDoubt ? this.capacity.reserve(queueOf(row.workflow, row.version)) : null;
    const { life } = this.leases;
    const giveBack = (): void => {
      if (owner !== null) this.capacity.giveBack();
    };
    const inserted = this.#insert({ ...row, owner });
    return (this.probe ? this.#probed(this.probe, inserted) : inserted).then(
      (triggered) => {
        if (triggered?.created && triggered.lease) this.#start(triggered, life);
        else giveBack();
        if (!triggered) throw gone(row);
        if (triggered.created && !triggered.lease) this.#announce(row);
        return triggered;
      },
      (error: unknown) => {
        giveBack();
        throw error;
      },
    );
  }

  async #probed(probe: Probe, inserted: Promise<Triggered | null>): Promise<Triggered | null> {
    const triggered = await inserted;
    if (triggered) await probe.at('triggered', { runId: triggered.header.runId });
    return triggered;
  }

  /** One that replaces others has a transaction of its own, and keeps no lane waiting. */
  #insert(row: TriggerRow): Promise<Triggered | null> {
    return row.singleton?.policy === 'cancel-previous' ? this.#replace(row) : this.writer.trigger(row);
  }

  async #replace(row: TriggerRow): Promise<Triggered> {
    const [triggered] = await this.repeat(() => this.store.trigger([row]));
    this.#replaced([triggered!]);
    return triggered!;
  }

  #replaced(triggered: readonly (Triggered | null)[]): void {
    const cancelled = triggered.flatMap((one) => one?.cancelled ?? []);
    if (cancelled.length === 0) return;
    this.abort(cancelled);
    this.announceEnded();
    this.settle();
  }

  async triggerMany(
    rows: readonly Omit<TriggerRow, 'owner'>[],
    manager?: EntityManager,
  ): Promise<(Triggered | null)[]> {
    for (const { priority = 0 } of rows) this.capacity.uses(priority);
    const unowned = rows.map((row) => ({ ...row, owner: null }));
    const triggered = await (manager
      ? this.store.triggerAll(unowned, manager)
      : this.repeat(() => this.store.triggerAll(unowned)));
    this.afterCommit(manager, () => {
      this.signals.announceDue();
      this.#replaced(triggered);
      if (manager && rows.some(({ singleton }) => singleton)) this.settle();
    });
    return triggered;
  }

  async notify(request: NotifyRequest): Promise<NotifyResult> {
    const places = request.runId === null ? WAITERS : 1;
    // with the same event id; whoever called again after an error would send a second event
    const { owned = [], ...result } = await this.woken.during(places, (taker) =>
      this.repeat(() => this.store.notify(request, undefined, taker)),
    );
    if (owned.length === 0 || owned.length < result.woken.length) this.signals.announceDue();
    return result;
  }

  repeat<R>(statement: () => Promise<R>): Promise<R> {
    return this.writer.repeat(statement);
  }

  /** Rows are visible only after the commit: the caller's query runner is watched, in memory. */
  afterCommit(manager: EntityManager | undefined, work: () => void): void {
    if (!manager) return work();
    const runner = manager.queryRunner;
    let left = WATCH_LIMIT_MS / WATCH_MS;
    const look = (): void => {
      if (runner?.isTransactionActive && --left > 0) this.clock.after(WATCH_MS, look);
      else work();
    };
    this.clock.after(WATCH_MS, look);
  }

  announceDue(): void {
    this.signals.announceDue();
  }
  announceEnded(): void {
    this.signals.announceEnded();
  }
  announceSchedules(): void {
    this.signals.announceSchedules();
  }
  onEnded(listener: (run?: EndedRun) => void): () => void {
    return this.signals.onEnded(listener);
  }
  isUnderWay(runId: string): boolean {
    return this.signals.isUnderWay(runId);
  }
  abort(executions: readonly string[]): void {
    for (const execution of executions) {
      this.leases.suspect(execution);
      this.steps.abort(execution, new Error('The run was cancelled'));
    }
  }
  settle(): void {
    this.aftermath.settle();
  }

  /** Presumed dead meanwhile, this process does not know what became of the run: it is read as any other. */
  #start(triggered: Triggered, life: number): void {
    const { header, lease, now } = triggered;
    const task = {
      taskId: lease!.taskId,
      fence: lease!.fence,
      execution: header.execution,
      runId: header.runId,
      workflow: header.workflow,
      version: header.version,
      step: null,
      kind: 'advance' as const,
    };
    this.leases.hold(lease!, header.execution);
    const fresh = { header, rows: [], inbox: [], wanted: 0, turn: 0, gather: 0, lost: 0, now };
    this.capacity.start(task, life === this.leases.life ? fresh : null);
  }

  #announce({ due }: Omit<TriggerRow, 'owner'>): void {
    if ('inMs' in due && due.inMs > 0) this.signals.noteDue(due.inMs);
    else this.signals.announceDue();
  }
}

const gone = ({ runId, parent }: Omit<TriggerRow, 'owner'>): WorkflowError =>
  parent
    ? new WorkflowError('WF_RUN_CANCELLED', `The run that invokes ${runId} has ended meanwhile`)
    : new WorkflowError('WF_RUN_NOT_FOUND', `Run ${runId} was replaced while it was triggered`);
