import type { EntityManager } from 'typeorm';
import type { JournalRow } from '../engine/journal.js';
import type { Takeover } from '../engine/version.js';
import type { Claimed, Lease, RunFilter, RunRecord, Settled } from '../ports/index.js';
import { ArrivalStore, LOOKS } from './arrival-store.js';
import {
  queuesOf,
  toJournalRow,
  toRecord,
  toTasks,
  type RecordColumns,
  type StepColumns,
  type TaskColumns,
} from './row-mapping.js';
import { readClaims, type ReadColumns } from './read-loads.js';
import * as sql from './statements/index.js';

/** The store on PostgreSQL (and PGlite): each method is one statement over arrays. What each promises stands beside its SQL. */
export class TypeOrmRunStore extends ArrivalStore {
  async claim(
    worker: string,
    workflows: readonly string[],
    limit: number,
    floor: number | null,
    calls = 0,
    priorities: readonly number[] = [0],
    readRows = 0,
    leadMs = 0,
  ): Promise<Claimed> {
    const lag = this.lag();
    const { queues, places } = queuesOf(workflows, limit, calls);
    const rows = await this.query<ClaimColumns>(sql.claim, [
      this.now(),
      worker,
      queues,
      places,
      floor,
      limit,
      calls,
      priorities,
      readRows,
      leadMs,
    ]);
    const head = rows[0]!;
    const loads = readRows > 0 ? { loads: readClaims(rows, lag()) } : {};
    const early = rows.filter((row) => row.task_due_at !== null && row.task_due_at > head.now);
    return {
      tasks: toTasks(rows),
      early: new Map(early.map((row) => [row.task_id!, row.task_due_at!])),
      now: head.now,
      oldestDueAt: head.oldest_due_at,
      nextDueAt: head.next_due_at,
      flowDueAt: head.flow_due_at,
      priorities: head.priorities,
      ...loads,
    };
  }

  async release(leases: readonly Lease[], delayMs: number, stuck: string | null = null): Promise<void> {
    await this.query(sql.release, [
      this.now(),
      leases.map((l) => l.taskId),
      leases.map((l) => l.fence),
      delayMs,
      stuck,
    ]);
  }

  async adopt(lease: Lease, worker: string): Promise<boolean> {
    return (await this.query(sql.adopt, [lease.taskId, lease.fence, worker])).length > 0;
  }

  async leased(execution: string, worker: string): Promise<(Lease & { readonly key: string })[]> {
    const rows = await this.query<{ task_id: string; fence: number; key: string }>(sql.leasedSteps, [
      execution,
      worker,
    ]);
    return rows.map(({ task_id: taskId, fence, key }) => ({ taskId, fence, key }));
  }

  async reactivate(execution: string, late: boolean): Promise<void> {
    await this.query(sql.reactivate, [this.now(), execution, late ? 1 : 0]);
  }

  async register(worker: string, host: string, pid: number, serves: readonly string[]): Promise<void> {
    await this.query(sql.register, [worker, host, pid, serves]);
  }

  async beat(
    worker: string,
    held: readonly Lease[],
  ): Promise<{ alive: boolean; leases: Lease[]; valid: Lease[] }> {
    const rows = await this.queryReserved<{ tag: string; task_id: string; fence: number }>(sql.beat, [
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
    await this.query(sql.unregister, [worker]);
  }

  async sweep(worker: string, timeoutMs: number): Promise<number> {
    const [look] = await this.query<{ found: boolean }>(sql.anythingToSweep, [worker, timeoutMs]);
    return look!.found ? (await this.query(sql.sweep, [this.now(), worker, timeoutMs])).length : 0;
  }

  async expire(): Promise<{ delivered: boolean; owed: boolean }> {
    const [row] = await this.query<{ delivered: boolean; owed: boolean }>(sql.expire, [this.now()]);
    return row!;
  }

  async cancel(filter: RunFilter, manager?: EntityManager): Promise<{ execution: string; runId: string }[]> {
    const values = [
      this.now(),
      filter.runIds ?? null,
      filter.workflow ?? null,
      filter.label ?? null,
      filter.createdAfter?.getTime() ?? null,
      filter.createdBefore?.getTime() ?? null,
      filter.status ?? null,
    ];
    return this.#whereverTheyAre(() => this.query<CancelColumns>(sql.cancelRuns, values, manager));
  }

  /** Asks again while one of the runs goes on as a new execution, which the snapshot of the question did not show. */
  async #whereverTheyAre(
    ask: () => Promise<readonly CancelColumns[]>,
  ): Promise<{ execution: string; runId: string }[]> {
    const found: { execution: string; runId: string }[] = [];
    for (let look = 0; look < LOOKS; look++) {
      const rows = await ask();
      for (const { execution, run_id: runId, moved } of rows) if (!moved) found.push({ execution, runId });
      if (!rows.some(({ moved }) => moved)) break;
    }
    return found;
  }

  async resume(
    runIds: readonly string[],
    version?: string | null,
  ): Promise<{ execution: string; runId: string }[]> {
    const values = [this.now(), runIds, version !== undefined, version ?? null];
    return this.#whereverTheyAre(() => this.query<CancelColumns>(sql.resumeRuns, values));
  }

  async unserved(): Promise<string[]> {
    return (await this.query<{ queue: string }>(sql.unservedQueues, [])).map(({ queue }) => queue);
  }

  async takeOver(moves: readonly Takeover[]): Promise<number> {
    const values = [
      this.now(),
      TAKEN_AT_ONCE,
      moves.map(({ queue }) => queue),
      moves.map(({ workflow }) => workflow),
      moves.map(({ from }) => from),
      moves.map(({ to }) => to),
    ];
    return (await this.query(sql.takeOver, values)).length;
  }

  async settle(): Promise<Settled> {
    const cancelled: string[] = [];
    for (;;) {
      const rows = await this.query<CancelColumns>(sql.cancelChildren, [this.now()]);
      await this.query(sql.cascaded, []);
      if (rows.length === 0) break;
      for (const { execution, moved } of rows) if (!moved) cancelled.push(execution);
    }
    let reported = 0;
    for (let batch = REPORTS; batch === REPORTS; reported += batch)
      batch = (await this.report(null)).reported;
    return { reported, cancelled };
  }

  async find(runId: string): Promise<RunRecord | null> {
    const [row] = await this.query<RecordColumns>(sql.findRun, [runId]);
    return row ? toRecord(row) : null;
  }

  async list(filter: RunFilter, limit: number, before: string | null): Promise<RunRecord[]> {
    const rows = await this.query<RecordColumns>(sql.listRuns, [
      filter.workflow ?? null,
      filter.label ?? null,
      filter.createdAfter?.getTime() ?? null,
      filter.createdBefore?.getTime() ?? null,
      filter.runIds ?? null,
      before,
      filter.status ?? null,
      limit,
      filter.stuck ?? null,
    ]);
    return rows.map(toRecord);
  }

  async journal(runId: string): Promise<JournalRow[] | null> {
    const rows = await this.query<StepColumns>(sql.runJournal, [runId]);
    return rows.length === 0 ? null : rows.filter((row) => row.key !== null).map(toJournalRow);
  }

  async ended(runIds: readonly string[]): Promise<RunRecord[]> {
    return (await this.query<RecordColumns>(sql.endedRuns, [runIds])).map(toRecord);
  }
}

interface CancelColumns {
  execution: string;
  run_id: string;
  moved: boolean;
}

/** Most runs that one statement moves to another version. */
const TAKEN_AT_ONCE = 500;

/** Most children that one statement reports. */
const REPORTS = 500;

interface ClaimColumns extends TaskColumns, ReadColumns {
  task_due_at: number | null;
  now: number;
  oldest_due_at: number | null;
  next_due_at: number | null;
  flow_due_at: number | null;
  priorities: number[] | null;
}
