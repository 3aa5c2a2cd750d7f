import type { EntityManager } from 'typeorm';
import type { CatchUp, Overlap } from '../engine/schedule.js';
import { WorkflowError } from '../errors/index.js';
import {
  ScheduleStore,
  type DueSchedules,
  type Moved,
  type RunStore,
  type ScheduleFilter,
  type ScheduleMove,
  type ScheduleRecord,
  type ScheduleRow,
  type TriggerRow,
} from '../ports/index.js';
import { textArray } from './text-array.js';
import type { StatementSender } from './statement-sender.js';
import * as sql from './statements/index.js';

/** Schedules on PostgreSQL (and PGlite). What each statement promises stands beside its SQL. */
export class TypeOrmScheduleStore extends ScheduleStore {
  constructor(
    private readonly sender: StatementSender,
    private readonly runs: RunStore,
  ) {
    super();
  }

  async due(
    workflows: readonly string[],
    computed: readonly string[],
    passOver: readonly string[],
    limit: number,
  ): Promise<DueSchedules> {
    const rows = await this.sender.query<DueColumns>(sql.dueSchedules, [
      this.sender.now(),
      workflows,
      computed,
      passOver,
      limit,
    ]);
    const [{ clock, upcoming_at, queued }] = rows as [DueColumns];
    const due = rows
      .filter((row) => row.id !== null)
      .map((row) => ({ ...toSchedule(row), nextAt: row.next_at!, previousActive: row.previous_active }));
    return { due, queued, nextAt: upcoming_at, now: clock };
  }

  /** No query but those of the transaction is awaited in it: embedded PGlite has one session. */
  move(moves: readonly ScheduleMove[]): Promise<Moved> {
    return this.sender.database.source.transaction('READ COMMITTED', async (manager) => {
      const moved = await this.#advance(moves, manager);
      const own = moves.filter(({ id }) => moved.has(id));
      const runIds = own.flatMap(({ cancel }) => (cancel === null ? [] : [cancel]));
      const cancelled = runIds.length === 0 ? [] : await this.runs.cancel({ runIds }, manager);
      const runs = own.flatMap(({ starts }) => starts.map(({ run }) => run));
      if (runs.length > 0) await this.#insert(runs, manager);
      return { moved: [...moved], cancelled: cancelled.map(({ execution }) => execution) };
    });
  }

  /** A run that is there already was started by a schedule of the same id, deleted since: it stays the one of its time. */
  async #insert(runs: readonly TriggerRow[], manager: EntityManager): Promise<void> {
    const triggered = await this.runs.trigger(runs, manager);
    const lost = triggered.indexOf(null);
    if (lost >= 0)
      throw new WorkflowError('WF_RUN_EXISTS', `Run ${runs[lost]!.runId} was replaced while it was started`);
  }

  async #advance(moves: readonly ScheduleMove[], manager: EntityManager): Promise<Set<string>> {
    const last = moves.map(({ starts }) => starts.at(-1));
    const rows = await this.sender.query<{ id: string }>(
      sql.moveSchedules,
      [
        this.sender.now(),
        moves.map(({ id }) => id),
        moves.map(({ revision }) => revision),
        moves.map(({ nextAt }) => nextAt),
        last.map((start) => start?.at ?? null),
        last.map((start) => start?.run.runId ?? null),
      ],
      manager,
    );
    return new Set(idsOf(rows));
  }

  async put(rows: readonly ScheduleRow[]): Promise<string[]> {
    const written = await this.sender.query<{ id: string }>(sql.putSchedules, [
      this.sender.now(),
      rows.map((row) => row.id),
      rows.map((row) => row.workflow),
      rows.map((row) => row.cron),
      rows.map((row) => row.everyMs),
      rows.map((row) => row.timezone),
      rows.map((row) => row.overlap),
      rows.map((row) => row.catchUp),
      rows.map((row) => row.payload),
      rows.map((row) => textArray(row.labels)),
      rows.map((row) => row.source),
      rows.map((row) => row.nextAt),
    ]);
    return idsOf(written);
  }

  async removeUndeclared(workflows: readonly string[], declared: readonly string[]): Promise<string[]> {
    return idsOf(await this.sender.query(sql.removeUndeclared, [workflows, declared]));
  }

  async find(id: string): Promise<{ now: number; schedule: ScheduleRecord | null }> {
    const rows = await this.sender.query<ScheduleColumns & { clock: number }>(sql.findSchedule, [
      this.sender.now(),
      id,
    ]);
    const row = rows[0]!;
    return { now: row.clock, schedule: row.id === null ? null : toSchedule(row) };
  }

  async list({ workflow, after, limit }: ScheduleFilter): Promise<ScheduleRecord[]> {
    return (await this.sender.query<ScheduleColumns>(sql.listSchedules, [workflow, after, limit])).map(
      toSchedule,
    );
  }

  async pause(id: string): Promise<boolean> {
    return (await this.sender.query(sql.pauseSchedule, [this.sender.now(), id])).length > 0;
  }

  async resume(id: string, revision: number, nextAt: number | null): Promise<boolean> {
    const values = [this.sender.now(), id, revision, nextAt];
    return (await this.sender.query(sql.resumeSchedule, values)).length > 0;
  }

  async remove(id: string): Promise<boolean> {
    return (await this.sender.query(sql.removeSchedule, [id])).length > 0;
  }
}

interface ScheduleColumns {
  id: string | null;
  workflow: string;
  cron: string | null;
  every_ms: number | null;
  timezone: string;
  overlap: Overlap;
  catch_up: CatchUp;
  payload: string | null;
  labels: string[];
  source: 'code' | 'client';
  paused: boolean;
  revision: number;
  next_at: number | null;
  last_at: number | null;
  last_run_id: string | null;
  created_at: number;
  updated_at: number;
}

interface DueColumns extends ScheduleColumns {
  clock: number;
  upcoming_at: number | null;
  queued: boolean;
  previous_active: boolean;
}

const idsOf = (rows: readonly unknown[]): string[] => rows.map((row) => (row as { id: string }).id);

const toSchedule = (c: ScheduleColumns): ScheduleRecord => ({
  id: c.id!,
  workflow: c.workflow,
  cron: c.cron,
  everyMs: c.every_ms,
  timezone: c.timezone,
  overlap: c.overlap,
  catchUp: c.catch_up,
  payload: c.payload,
  labels: c.labels,
  source: c.source,
  paused: c.paused,
  revision: c.revision,
  nextAt: c.next_at,
  lastAt: c.last_at,
  lastRunId: c.last_run_id,
  createdAt: c.created_at,
  updatedAt: c.updated_at,
});
