import type { EntityManager } from 'typeorm';
import type { JournalRow } from '../engine/journal.js';
import { WorkflowError } from '../errors/index.js';
import {
  RunStore,
  type AdvanceCommit,
  type Claimed,
  type Clock,
  type CommitResult,
  type Lease,
  type Loaded,
  type LoadRequest,
  type NotifyRequest,
  type RunFilter,
  type RunRecord,
  type StepCommit,
  type StoreFault,
  type Triggered,
  type TriggerRow,
  type WaiterRecord,
} from '../ports/index.js';
import { isPoison, isTransient, sqlStateOf, type Database } from './database.js';
import { readLoads, type LoadColumns } from './read-loads.js';
import {
  failureOf,
  toHeader,
  toJournalRow,
  toRecord,
  textArray,
  valueOf,
  type HeaderColumns,
  type RecordColumns,
  type StepColumns,
} from './row-mapping.js';
import * as sql from './statements/index.js';
import type { Statement } from './statements/statement.js';
import type { Tables } from './tables.js';

/** The store on PostgreSQL (and PGlite): each method is one statement over arrays. What each promises stands beside its SQL. */
export class TypeOrmRunStore extends RunStore {
  readonly #texts = new Map<Statement, string>();

  constructor(
    private readonly database: Database,
    private readonly tables: Tables,
    private readonly clock: Clock,
  ) {
    super();
  }

  async trigger(rows: readonly TriggerRow[]): Promise<Triggered[]> {
    const triggered = await this.#trigger(rows, false);
    return triggered.map((one, i) => {
      if (!one)
        throw new WorkflowError(
          'WF_RUN_NOT_FOUND',
          `Run ${rows[i]!.runId} was replaced while it was triggered`,
        );
      return one;
    });
  }

  triggerAll(rows: readonly TriggerRow[], manager?: EntityManager): Promise<(Triggered | null)[]> {
    return this.#trigger(rows, true, manager);
  }

  async #trigger(
    rows: readonly TriggerRow[],
    allOrNone: boolean,
    manager?: EntityManager,
  ): Promise<(Triggered | null)[]> {
    const values = [
      this.#now(),
      rows.map((r) => r.triggerId),
      rows.map((r) => r.runId),
      rows.map((r) => r.workflow),
      rows.map((r) => r.version),
      rows.map((r) => r.payload),
      rows.map((r) => textArray(r.labels)),
      rows.map((r) => ('inMs' in r.due ? r.due.inMs : null)),
      rows.map((r) => ('at' in r.due ? r.due.at : null)),
      rows.map((r) => r.deadlineInMs),
      rows.map((r) => r.owner),
      allOrNone,
    ];
    const inserted = await this.#query<InsertedColumns>(sql.trigger, values, manager);
    const byTrigger = new Map(inserted.map((row) => [row.trigger_id, row]));
    const missing = rows.filter((row) => !byTrigger.has(row.triggerId)).map((row) => row.runId);
    const existing =
      missing.length === 0
        ? []
        : await this.#query<ExistingColumns>(sql.existingRuns, [this.#now(), [...new Set(missing)]], manager);
    const byRun = new Map(existing.map((row) => [row.run_id, row]));
    return rows.map((row) => {
      const own = byTrigger.get(row.triggerId);
      if (own) return insertedRun(row, own);
      const other = byRun.get(row.runId);
      return other ? existingRun(row, other) : null;
    });
  }

  async load(requests: readonly LoadRequest[]): Promise<(Loaded | null)[]> {
    const rows = await this.#query<LoadColumns>(sql.load, [
      this.#now(),
      requests.map((r) => r.taskId),
      requests.map((r) => r.fence),
      requests.map((r) => r.position),
    ]);
    const loads = readLoads(rows);
    return requests.map((_, i) => loads.get(i + 1) ?? null);
  }

  async commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]> {
    const rows = commits.flatMap((c) => c.rows.map((row) => ({ taskId: c.taskId, row })));
    const tasks = commits.flatMap((c) => c.tasks.map((task) => ({ taskId: c.taskId, ...task })));
    const consumed = commits.flatMap((c) => c.consumed.map((id) => ({ taskId: c.taskId, id })));
    const column = <T>(pick: (row: JournalRow) => T): T[] => rows.map(({ row }) => pick(row));
    const written = await this.#query<OwnedColumns>(sql.commit, [
      this.#now(),
      commits.map((c) => c.taskId),
      commits.map((c) => c.fence),
      commits.map((c) => c.execution),
      commits.map((c) => c.turn),
      commits.map((c) => c.wantedSeen),
      commits.map((c) => (c.next.to === 'suspend' && c.next.listens ? 'listen' : c.next.to)),
      commits.map((c) => dataOf(c.next)),
      rows.map(({ taskId }) => taskId),
      column((r) => r.key),
      column((r) => r.name),
      column((r) => r.kind),
      column((r) => r.state),
      column((r) => r.position),
      column(valueOf),
      column(failureOf),
      column((r) => r.attempts),
      column((r) => r.askedAt),
      column((r) => r.finishedAt),
      column((r) => r.wakeAt),
      column((r) => r.event),
      column((r) => r.eventId),
      column((r) => r.dispatched),
      tasks.map(({ taskId }) => taskId),
      tasks.map(({ key }) => key),
      tasks.map(({ dueAt }) => dueAt),
      consumed.map(({ taskId }) => taskId),
      consumed.map(({ id }) => id),
      commits.map((c) => (c.next.to === 'suspend' ? c.next.dueAt : null)),
      commits.map((c) => (c.next.to === 'suspend' ? (c.next.attempt ?? null) : null)),
      column((r) => r.digest),
    ]);
    const owned = byLease(written);
    const results = commits.map((c): CommitResult => {
      const row = owned.get(keyOf(c));
      return row === undefined ? 'lost' : row.due ? 'due' : 'committed';
    });
    return this.#ownEnds(commits, results);
  }

  /** An end whose first try was committed and whose reply was lost finds its task gone: the header tells that it was ours. */
  async #ownEnds(commits: readonly AdvanceCommit[], results: CommitResult[]): Promise<CommitResult[]> {
    const isEnd = (c: AdvanceCommit): boolean => c.next.to !== 'continue' && c.next.to !== 'suspend';
    const asked = commits.filter((c, i) => results[i] === 'lost' && isEnd(c));
    if (asked.length === 0) return results;
    const rows = await this.#query<{ execution: string; ended_fence: number | null }>(sql.endedUnder, [
      asked.map((c) => c.execution),
    ]);
    const fences = new Map(rows.map((row) => [row.execution, row.ended_fence]));
    return commits.map((c, i) =>
      results[i] === 'lost' && isEnd(c) && fences.get(c.execution) === c.fence ? 'committed' : results[i]!,
    );
  }

  async answer(commits: readonly StepCommit[]): Promise<CommitResult[]> {
    const written = await this.#query<OwnedColumns>(sql.answer, [
      this.#now(),
      commits.map((c) => c.taskId),
      commits.map((c) => c.fence),
      commits.map((c) => c.execution),
      commits.map((c) => c.row.key),
      commits.map((c) => valueOf(c.row)),
      commits.map((c) => failureOf(c.row)),
      commits.map((c) => c.row.attempts),
      commits.map((c) => c.row.finishedAt),
      commits.map((c) => c.retryAt),
    ]);
    const owned = byLease(written);
    return commits.map((c) => (owned.has(keyOf(c)) ? 'committed' : 'lost'));
  }

  async claim(
    worker: string,
    workflows: readonly string[],
    limit: number,
    floor: number | null,
  ): Promise<Claimed> {
    const rows = await this.#query<ClaimColumns>(sql.claim, [this.#now(), worker, workflows, limit, floor]);
    const tasks = rows
      .filter((row) => row.task_id !== null)
      .map((row) => ({
        taskId: row.task_id!,
        fence: row.fence,
        execution: row.execution,
        runId: row.run_id,
        workflow: row.workflow,
        version: row.version,
        step: row.step_key === '' ? null : row.step_key,
      }));
    return { tasks, now: rows[0]!.now, nextDueAt: rows[0]!.next_due_at };
  }

  async release(leases: readonly Lease[], delayMs: number): Promise<void> {
    await this.#query(sql.release, [
      this.#now(),
      leases.map((l) => l.taskId),
      leases.map((l) => l.fence),
      delayMs,
    ]);
  }

  async adopt(lease: Lease, worker: string): Promise<boolean> {
    return (await this.#query(sql.adopt, [lease.taskId, lease.fence, worker])).length > 0;
  }

  async reactivate(execution: string, late: boolean): Promise<void> {
    await this.#query(sql.reactivate, [this.#now(), execution, late ? 1 : 0]);
  }

  async register(worker: string, host: string, pid: number): Promise<void> {
    await this.#query(sql.register, [worker, host, pid]);
  }

  async beat(
    worker: string,
    held: readonly Lease[],
  ): Promise<{ alive: boolean; leases: Lease[]; valid: Lease[] }> {
    const rows = await this.#query<{ tag: string; task_id: string; fence: number }>(sql.beat, [
      worker,
      held.map((l) => l.taskId),
      held.map((l) => l.fence),
    ]);
    const leases = (tag: string): Lease[] =>
      rows.filter((row) => row.tag === tag).map((row) => ({ taskId: row.task_id, fence: row.fence }));
    return {
      alive: rows.some((row) => row.tag === 'alive'),
      leases: leases('leased'),
      valid: leases('valid'),
    };
  }

  async unregister(worker: string): Promise<void> {
    await this.#query(sql.unregister, [worker]);
  }

  async sweep(worker: string, timeoutMs: number): Promise<number> {
    return (await this.#query(sql.sweep, [this.#now(), worker, timeoutMs])).length;
  }

  async expire(): Promise<void> {
    await this.#query(sql.expire, [this.#now()]);
  }

  async notify(request: NotifyRequest, manager?: EntityManager): Promise<{ woken: string[]; kept: boolean }> {
    const { eventId, event, data, runId, keepForMs } = request;
    if (runId !== null) {
      const [run] = await this.#query<{ run_id: string; active: boolean; waits: boolean }>(
        sql.notifyRun,
        [this.#now(), runId, eventId, event, data],
        manager,
      );
      if (!run) throw new WorkflowError('WF_RUN_NOT_FOUND', `There is no run ${runId} to notify`);
      return { woken: run.active && run.waits ? [runId] : [], kept: run.active && !run.waits };
    }
    if (keepForMs !== null)
      await this.#query(sql.keepEvent, [this.#now(), eventId, event, data, keepForMs], manager);
    const woken = await this.#query<{ run_id: string }>(
      sql.notifyWaiters,
      [this.#now(), eventId, event, data],
      manager,
    );
    return { woken: woken.map((row) => row.run_id), kept: keepForMs !== null && woken.length === 0 };
  }

  async collectKept(execution: string, events: readonly string[], lease?: Lease): Promise<boolean> {
    const [row] = await this.#query<{ due: boolean }>(sql.collectKept, [
      this.#now(),
      execution,
      events,
      lease?.fence ?? null,
    ]);
    return row!.due;
  }

  async deliverKept(eventId: string): Promise<boolean> {
    return (await this.#query(sql.deliverKept, [this.#now(), eventId])).length > 0;
  }

  async waiters(event: string): Promise<WaiterRecord[]> {
    const rows = await this.#query<{
      run_id: string;
      workflow: string;
      key: string;
      since: number;
      timeout_at: number | null;
    }>(sql.waiters, [event]);
    return rows.map((row) => ({
      runId: row.run_id,
      workflow: row.workflow,
      step: row.key,
      since: row.since,
      timeoutAt: row.timeout_at,
    }));
  }

  async cancel(filter: RunFilter): Promise<{ execution: string; runId: string }[]> {
    const rows = await this.#query<{ execution: string; run_id: string }>(sql.cancelRuns, [
      this.#now(),
      filter.runIds ?? null,
      filter.workflow ?? null,
      filter.label ?? null,
      filter.createdAfter?.getTime() ?? null,
      filter.createdBefore?.getTime() ?? null,
      filter.status ?? null,
    ]);
    return rows.map((row) => ({ execution: row.execution, runId: row.run_id }));
  }

  async find(runId: string): Promise<RunRecord | null> {
    const [row] = await this.#query<RecordColumns>(sql.findRun, [runId]);
    return row ? toRecord(row) : null;
  }

  async list(filter: RunFilter, limit: number, before: string | null): Promise<RunRecord[]> {
    const rows = await this.#query<RecordColumns>(sql.listRuns, [
      filter.workflow ?? null,
      filter.label ?? null,
      filter.createdAfter?.getTime() ?? null,
      filter.createdBefore?.getTime() ?? null,
      filter.runIds ?? null,
      before,
      filter.status ?? null,
      limit,
    ]);
    return rows.map(toRecord);
  }

  async journal(runId: string): Promise<JournalRow[] | null> {
    const rows = await this.#query<StepColumns>(sql.runJournal, [runId]);
    return rows.length === 0 ? null : rows.filter((row) => row.key !== null).map(toJournalRow);
  }

  async ended(runIds: readonly string[]): Promise<RunRecord[]> {
    return (await this.#query<RecordColumns>(sql.endedRuns, [runIds])).map(toRecord);
  }

  fault(error: unknown): StoreFault {
    if (isTransient(error)) return 'transient';
    return isPoison(error) ? 'poison' : 'fatal';
  }

  #now(): number | null {
    return this.clock.sqlNow()?.getTime() ?? null;
  }

  /** In the caller's transaction the statement goes through its manager, which may belong to another database. */
  async #query<R = unknown>(statement: Statement, values: unknown[], manager?: EntityManager): Promise<R[]> {
    let text = this.#texts.get(statement);
    if (text === undefined) this.#texts.set(statement, (text = statement.text(this.tables)));
    if (!manager) return this.database.query<R>(statement.name, text, values);
    try {
      return (await manager.query(text, values)) as R[];
    } catch (error) {
      if (sqlStateOf(error) !== '42P01') throw error;
      throw new WorkflowError(
        'WF_MANAGER_FOREIGN',
        'The tables of the workflow module are not in the database of this manager',
        { cause: error },
      );
    }
  }
}

interface InsertedColumns {
  trigger_id: string;
  execution: string;
  task_id: string;
  lease_owner: string | null;
  fence: number;
  deadline_at: number | null;
  now: number;
}
type ExistingColumns = HeaderColumns & InsertedColumns;
interface OwnedColumns {
  task_id: string;
  fence: number;
  due?: boolean;
}
interface ClaimColumns {
  now: number;
  next_due_at: number | null;
  task_id: string | null;
  fence: number;
  execution: string;
  workflow: string;
  step_key: string;
  run_id: string;
  version: string | null;
}

const keyOf = (lease: Lease): string => `${lease.taskId}/${lease.fence}`;
const byLease = (rows: readonly OwnedColumns[]): Map<string, OwnedColumns> =>
  new Map(rows.map((row) => [`${row.task_id}/${row.fence}`, row]));

function dataOf(next: AdvanceCommit['next']): string | null {
  switch (next.to) {
    case 'completed':
      return next.result;
    case 'failed':
      return next.error;
    case 'suspend':
      return next.stuck ?? null;
    case 'continue':
    case 'cancelled':
      return null;
  }
}

function insertedRun(row: TriggerRow, c: InsertedColumns): Triggered {
  const { runId, workflow, version, payload, labels } = row;
  return {
    created: true,
    header: {
      execution: c.execution,
      runId,
      workflow,
      version,
      payload,
      labels,
      attempt: 1,
      createdAt: c.now,
      deadlineAt: c.deadline_at,
    },
    lease: c.lease_owner === null ? null : { taskId: c.task_id, fence: c.fence },
    now: c.now,
  };
}

/** Ours all the same when it carries our trigger id: the first try was committed and its reply lost. */
function existingRun(row: TriggerRow, c: ExistingColumns): Triggered {
  const created = c.trigger_id === row.triggerId;
  const held = created && c.lease_owner !== null && c.lease_owner === row.owner;
  return {
    created,
    header: toHeader(c),
    lease: held ? { taskId: c.task_id, fence: c.fence } : null,
    now: c.now,
  };
}
