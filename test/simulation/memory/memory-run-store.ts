import type { EntityManager } from 'typeorm';
import type { JournalRow } from '../../../lib/engine/journal.js';
import type { Takeover } from '../../../lib/engine/version.js';
import { WorkflowError } from '../../../lib/errors/index.js';
import {
  RunStore,
  type AdvanceCommit,
  type Claimed,
  type Clock,
  type CommitResult,
  type FlowClaimed,
  type FlowRecord,
  type Lease,
  type LiveWebhook,
  type Loaded,
  type LoadRequest,
  type Notified,
  type NotifyRequest,
  type Reported,
  type RunFilter,
  type RunRecord,
  type Settled,
  type StepCommit,
  type StoreFault,
  type Taker,
  type Triggered,
  type TriggerRow,
  type WaiterRecord,
  type WebhookCallRequest,
} from '../../../lib/ports/index.js';
import * as arriving from './arriving.js';
import * as ending from './ending.js';
import { faultOf, MemoryStoreError } from './faults.js';
import * as flowing from './flowing.js';
import * as journaling from './journaling.js';
import * as leasing from './leasing.js';
import type { MemoryTables } from './tables.js';
import * as triggering from './triggering.js';
import * as versions from './versions.js';

/** The database's own clock, which heartbeats go by. */
const realTime = (): number => performance.timeOrigin + performance.now();

/** Most runs that one statement moves to another version. */
const TAKEN_AT_ONCE = 500;

/** Most children that one statement reports. */
const REPORTS = 500;

/**
 * A store of runs in memory. Passes the contract of every store; what each method promises stands in the port, and in what order
 * its statements go out beside the SQL of the TypeORM store. One object is what one process sees of a database (`MemoryTables`)
 * that others may use too.
 *
 * Each statement is executed as a whole, in one go, when `send` executes it: override that to delay, lose or repeat it. Not here:
 * transactions of a caller, and what happens inside PostgreSQL while two statements overlap.
 */
export class MemoryRunStore extends RunStore {
  constructor(
    protected readonly tables: MemoryTables,
    private readonly clock: Clock,
    /** ms of the database's own clock */
    private readonly time: () => number = realTime,
  ) {
    super();
  }

  /** One statement on its way to the database; `work` executes it there. */
  protected async send<R>(_statement: string, work: () => R): Promise<R> {
    await Promise.resolve();
    return work();
  }

  fault(error: unknown): StoreFault {
    return faultOf(error);
  }

  trigger(rows: readonly TriggerRow[], manager?: EntityManager): Promise<(Triggered | null)[]> {
    return this.#trigger(rows, false, manager);
  }

  triggerAll(rows: readonly TriggerRow[], manager?: EntityManager): Promise<(Triggered | null)[]> {
    return this.#trigger(rows, true, manager);
  }

  async load(requests: readonly LoadRequest[]): Promise<(Loaded | null)[]> {
    return this.#send('load', (t, now) => requests.map((request) => journaling.load(t, request, now)));
  }

  async commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]> {
    const results = await this.#send('commit', (t, now) => journaling.commit(t, commits, now));
    const isEnd = ({ next }: AdvanceCommit): boolean => next.to !== 'continue' && next.to !== 'suspend';
    const asked = commits.filter((one, i) => results[i] === 'lost' && isEnd(one));
    if (asked.length === 0) return results;
    // an end whose first try was committed and whose reply was lost finds its task gone: the header tells that it was ours
    const ours = await this.#send('endedUnder', (t) =>
      asked.filter(({ execution, fence, next }) => {
        const run = t.runs.get(execution);
        const { result = null, error = null } = next as { result?: string; error?: string };
        // of two copies of one delivery only one has ended it
        return (
          run?.endedFence === fence && run.status === next.to && run.result === result && run.error === error
        );
      }),
    );
    return commits.map((one, i) => (results[i] === 'lost' && ours.includes(one) ? 'committed' : results[i]!));
  }

  answer(commits: readonly StepCommit[]): Promise<CommitResult[]> {
    return this.#send('answer', (t, now) => journaling.answer(t, commits, now));
  }

  leased(execution: string, worker: string): Promise<(Lease & { readonly key: string })[]> {
    return this.#send('leasedSteps', (t) => leasing.leasedSteps(t, execution, worker));
  }

  claim(
    worker: string,
    workflows: readonly string[],
    limit: number,
    floor: number | null,
    calls = 0,
    priorities: readonly number[] = [0],
    _readRows = 0,
    leadMs = 0,
  ): Promise<Claimed> {
    return this.#send('claim', (t, now) =>
      leasing.claim(t, worker, workflows, limit, floor, calls, priorities, leadMs, now),
    );
  }

  claimFlow(worker: string, workflows: readonly string[], limit: number, calls = 0): Promise<FlowClaimed> {
    return this.#send('claimFlow', (t, now) => flowing.claimFlow(t, worker, workflows, limit, calls, now));
  }

  pauseFlow(key: string, paused: boolean): Promise<void> {
    return this.#send('pauseFlow', (t) => flowing.pauseFlow(t, key, paused));
  }

  flows(key: string | null, after: string | null, limit: number): Promise<FlowRecord[]> {
    return this.#send('flows', (t, now) => flowing.flows(t, key, after, limit, now));
  }

  release(leases: readonly Lease[], delayMs: number, stuck: string | null = null): Promise<void> {
    return this.#send('release', (t, now) => leasing.release(t, leases, delayMs, stuck, now));
  }

  adopt(lease: Lease, worker: string): Promise<boolean> {
    return this.#send('adopt', (t) => leasing.adopt(t, lease, worker));
  }

  reactivate(execution: string, late: boolean): Promise<void> {
    return this.#send('reactivate', (t, now) => leasing.reactivate(t, execution, late, now));
  }

  register(worker: string, _host: string, _pid: number, serves: readonly string[]): Promise<void> {
    return this.#send('register', (t) => leasing.register(t, worker, serves, this.time()));
  }

  beat(
    worker: string,
    known: readonly Lease[],
  ): Promise<{ alive: boolean; leases: Lease[]; valid: Lease[] }> {
    return this.#send('beat', (t) => leasing.beat(t, worker, known, this.time()));
  }

  unregister(worker: string): Promise<void> {
    return this.#send('unregister', (t, now) => leasing.unregister(t, worker, now));
  }

  sweep(worker: string, timeoutMs: number): Promise<number> {
    return this.#send('sweep', (t, now) => leasing.sweep(t, worker, timeoutMs, now, this.time()));
  }

  expire(): Promise<{ delivered: boolean; owed: boolean }> {
    return this.#send('expire', arriving.expire);
  }

  async notify(
    request: NotifyRequest,
    manager?: EntityManager,
    taker: Taker | null = null,
  ): Promise<Notified> {
    ownTransaction(manager);
    const { runId, keepForMs } = request;
    if (runId !== null) {
      const run = await this.#send('notifyRun', (t, now) =>
        arriving.notifyRun(t, runId, request, taker, now),
      );
      if (!run) throw new WorkflowError('WF_RUN_NOT_FOUND', `There is no run ${runId} to notify`);
      const woken = run.active && run.waits ? [runId] : [];
      return { woken, kept: run.active && !run.waits, ...(taker && { owned: run.owned }) };
    }
    if (keepForMs !== null) await this.#send('keepEvent', (t, now) => arriving.keepEvent(t, request, now));
    const { woken, owned } = await this.#send('notifyWaiters', (t, now) =>
      arriving.notifyWaiters(t, request, taker, now),
    );
    return { woken, kept: keepForMs !== null && woken.length === 0, ...(taker && { owned }) };
  }

  deliverKept(eventId: string): Promise<boolean> {
    return this.#send('deliverKept', (t, now) => arriving.deliverKept(t, ({ id }) => id === eventId, now));
  }

  collectKept(execution: string, events: readonly string[], lease?: Lease): Promise<boolean> {
    return this.#send('collectKept', (t, now) =>
      arriving.collectKept(t, execution, events, lease?.fence ?? null, now),
    );
  }

  waiters(event: string): Promise<WaiterRecord[]> {
    return this.#send('waiters', (t) => arriving.waiters(t, event));
  }

  webhook(token: string): Promise<LiveWebhook | null> {
    return this.#send('webhook', (t) => arriving.findWebhook(t, token));
  }

  callWebhook(request: WebhookCallRequest): Promise<'due' | 'kept' | 'gone'> {
    return this.#send('callWebhook', (t, now) => arriving.callWebhook(t, request, now));
  }

  cancel(filter: RunFilter, manager?: EntityManager): Promise<{ execution: string; runId: string }[]> {
    ownTransaction(manager);
    return this.#send('cancel', (t, now) =>
      ending.cancelWhere(t, (run) => run.cancellingAt === null && ending.matches(t, run, filter), now),
    );
  }

  resume(
    runIds: readonly string[],
    version?: string | null,
  ): Promise<{ execution: string; runId: string }[]> {
    return this.#send('resume', (t, now) => versions.resume(t, runIds, version, now));
  }

  unserved(): Promise<string[]> {
    return this.#send('unserved', versions.unserved);
  }

  takeOver(moves: readonly Takeover[]): Promise<number> {
    return this.#send('takeOver', (t) => versions.takeOver(t, moves, TAKEN_AT_ONCE));
  }

  async settle(): Promise<Settled> {
    const cancelled: string[] = [];
    for (;;) {
      const batch = await this.#send('cancelChildren', ending.cancelChildren);
      await this.#send('cascaded', ending.cascaded);
      if (batch.length === 0) break;
      cancelled.push(...batch);
    }
    let reported = 0;
    for (let batch = REPORTS; batch === REPORTS; reported += batch)
      batch = (await this.report(null)).reported;
    return { reported, cancelled };
  }

  report(taker: Taker | null): Promise<Reported> {
    return this.#send('reportChildren', (t, now) => ending.reportChildren(t, REPORTS, taker, now));
  }

  markReported(children: readonly string[]): Promise<void> {
    return this.#send('markReported', (t) => ending.markReported(t, children));
  }

  handOver(keys: readonly string[] | null): Promise<number> {
    return this.#send('handOver', (t) => triggering.handOver(t, keys));
  }

  find(runId: string): Promise<RunRecord | null> {
    return this.#send('find', (t) => {
      const run = t.current.get(runId);
      return run ? ending.recordOf(t, run) : null;
    });
  }

  list(filter: RunFilter, limit: number, before: string | null): Promise<RunRecord[]> {
    return this.#send('list', (t) => ending.listRuns(t, filter, limit, before));
  }

  journal(runId: string): Promise<JournalRow[] | null> {
    return this.#send('journal', (t) => ending.journalOf(t, runId));
  }

  ended(runIds: readonly string[]): Promise<RunRecord[]> {
    return this.#send('ended', (t) =>
      runIds.flatMap((runId) => {
        const run = t.current.get(runId);
        return run && run.status !== 'active' ? [ending.recordOf(t, run)] : [];
      }),
    );
  }

  async #trigger(
    rows: readonly TriggerRow[],
    allOrNone: boolean,
    manager?: EntityManager,
  ): Promise<(Triggered | null)[]> {
    ownTransaction(manager);
    const replaces = rows.some(({ singleton }) => singleton?.policy === 'cancel-previous');
    const { inserted, last, cancelled } = await this.#send('trigger', (t, now) => {
      const made = triggering.insertRuns(t, rows, allOrNone, now);
      const none = { last: undefined, cancelled: [] };
      return { inserted: made, ...(replaces ? triggering.replaceOthers(t, rows, made, now) : none) };
    });
    const missing = rows.filter((row) => !inserted.has(row.triggerId));
    const others = await this.#existing(missing);
    const triggered = rows.map((row): Triggered | null => {
      const one = inserted.get(row.triggerId);
      if (!one) return others.get(row) ?? null;
      const own = triggering.created(one);
      return one.run.execution === last ? { ...own, cancelled } : own;
    });
    const waiting = rows.flatMap(({ singleton }, i) =>
      singleton && singleton.policy !== 'skip' && triggered[i]?.created ? [singleton.key] : [],
    );
    if (waiting.length > 0) await this.handOver(waiting);
    return triggered;
  }

  async #existing(missing: readonly TriggerRow[]): Promise<Map<TriggerRow, Triggered>> {
    if (missing.length === 0) return new Map();
    const ids = new Set(missing.map(({ runId }) => runId));
    const keys = new Set(
      missing.flatMap(({ singleton }) => (singleton?.policy === 'skip' ? [singleton.key] : [])),
    );
    const { byRun, byKey } = await this.#send('existingRuns', (t, now) =>
      triggering.existingRuns(t, ids, keys, now),
    );
    return new Map(
      missing.flatMap((row) => {
        const one = byRun.get(row.runId) ?? (row.singleton ? byKey.get(row.singleton.key) : undefined);
        return one ? [[row, triggering.found(row, one)] as const] : [];
      }),
    );
  }

  #send<R>(statement: string, work: (tables: MemoryTables, now: number) => R): Promise<R> {
    return this.send(statement, () => work(this.tables, this.clock.sqlNow()?.getTime() ?? this.time()));
  }
}

function ownTransaction(manager: EntityManager | undefined): void {
  if (manager) throw new MemoryStoreError('A store in memory takes no transaction of a caller', 'fatal');
}
