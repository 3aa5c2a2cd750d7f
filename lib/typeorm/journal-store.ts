import type { EntityManager } from 'typeorm';
import type { Loaded, LoadRequest, Triggered, TriggerRow } from '../ports/index.js';
import { CommitStore } from './commit-store.js';
import { readLoads, type LoadColumns } from './read-loads.js';
import { toHeader, type HeaderColumns } from './row-mapping.js';
import { triggerChildValues, triggerLeanValues, triggerOneValues, triggerValues } from './trigger-values.js';
import { sqlStateOf } from './query-errors.js';
import type { Send } from './statement-sender.js';
import * as sql from './statements/index.js';

const UNIQUE_VIOLATION = '23505';
/** How often a run is tried that was skipped for a holder which is gone. */
const SKIP_TRIES = 20;

/** The hot half of the store: runs begin, are loaded, and (`CommitStore`) their journal is written. */
export abstract class JournalStore extends CommitStore {
  trigger(rows: readonly TriggerRow[], manager?: EntityManager): Promise<(Triggered | null)[]> {
    return this.#trigger(rows, false, manager);
  }

  triggerAll(rows: readonly TriggerRow[], manager?: EntityManager): Promise<(Triggered | null)[]> {
    return this.#trigger(rows, true, manager);
  }

  async #trigger(
    rows: readonly TriggerRow[],
    allOrNone: boolean,
    manager?: EntityManager,
  ): Promise<(Triggered | null)[]> {
    const triggered = rows.some(replaces)
      ? await this.transaction((query) => this.#replace(rows, allOrNone, query), manager)
      : await this.#insert(rows, allOrNone, (statement, values) => this.query(statement, values, manager));
    const waiting = rows.filter((row, i) => queues(row) && triggered[i]?.created);
    // in a caller's transaction it would wait for other runs of the key; the pass after its commit does it
    if (!manager && waiting.length > 0) await this.handOver(waiting.map((row) => row.singleton!.key));
    return triggered;
  }

  async handOver(keys: readonly string[] | null): Promise<number> {
    try {
      return (await this.query(sql.handOver, [this.now(), keys && [...new Set(keys)]])).length;
    } catch (error) {
      if (sqlStateOf(error) !== UNIQUE_VIOLATION) throw error;
      // somebody else has just made another run of one of the keys its holder
      if (keys === null || keys.length <= 1) return 0;
      let handed = 0;
      for (const key of keys) handed += await this.handOver([key]);
      return handed;
    }
  }

  /** Those that replace others are inserted first, then the older ones of their keys are cancelled; all under one lock a key. */
  async #replace(
    rows: readonly TriggerRow[],
    allOrNone: boolean,
    query: Send,
  ): Promise<(Triggered | null)[]> {
    await query(sql.lockSingletons, [rows.filter(replaces).map((row) => row.singleton!.key)]);
    const triggered = await this.#insert(rows, allOrNone, query);
    // the last one of a key; what an earlier try has inserted has cancelled the others then
    const own = new Map<string, string>();
    for (const [i, row] of rows.entries()) {
      const one = triggered[i];
      if (replaces(row) && one?.created && !repeated.has(one))
        own.set(row.singleton!.key, one.header.execution);
    }
    if (own.size === 0) return triggered;
    const cancelled: string[] = [];
    for (let moved = true; moved;) {
      const rest = await query<{ execution: string; moved: boolean }>(sql.cancelSingletons, [
        this.now(),
        [...own.keys()],
        [...own.values()],
      ]);
      for (const one of rest) if (!one.moved) cancelled.push(one.execution);
      // one that has gone on as a new execution meanwhile is found as that
      moved = rest.some((one) => one.moved);
    }
    const [last] = own.values();
    return triggered.map((one) => (one && one.header.execution === last ? { ...one, cancelled } : one));
  }

  async #insert(rows: readonly TriggerRow[], allOrNone: boolean, query: Send): Promise<(Triggered | null)[]> {
    let triggered = await this.#insertOnce(rows, allOrNone, query);
    // the holder for which a run was skipped may have ended before it was read: then the key is free, or another holds it
    const gone = (row: TriggerRow, i: number): boolean =>
      row.singleton?.policy === 'skip' && triggered[i] === null;
    if (allOrNone && rows.some((row, i) => refuses(row, triggered[i] ?? null))) return triggered;
    for (let tries = 1; tries < SKIP_TRIES && rows.some(gone); tries++) {
      const again = await this.#insertOnce(rows.filter(gone), allOrNone, query);
      triggered = triggered.map((one, i) => (gone(rows[i]!, i) ? again.shift()! : one));
    }
    return triggered;
  }

  async #insertOnce(
    rows: readonly TriggerRow[],
    allOrNone: boolean,
    query: Send,
  ): Promise<(Triggered | null)[]> {
    const lag = this.lag();
    const isLone = rows.length === 1;
    const isLean = !allOrNone && rows.every((r) => (isLone || !r.parent) && !r.flow && !r.singleton);
    const inserted = isLean
      ? await this.#insertLean(rows, query)
      : await query<InsertedColumns>(sql.trigger, triggerValues(this.now(), rows, allOrNone));
    const late = lag();
    const byTrigger = new Map(inserted.map((row) => [row.trigger_id, row]));
    const missing = rows.filter((row) => !byTrigger.has(row.triggerId));
    const skipped = missing.flatMap(({ singleton }) => (singleton?.policy === 'skip' ? [singleton.key] : []));
    const existing =
      missing.length === 0
        ? []
        : await query<ExistingColumns>(sql.existingRuns, [
            this.now(),
            [...new Set(missing.map((row) => row.runId))],
            [...new Set(skipped)],
          ]);
    const byRun = new Map(existing.map((row) => [row.run_id, row]));
    const holders = new Map(existing.filter((row) => row.holds).map((row) => [row.singleton_key, row]));
    return rows.map((row) => {
      const own = byTrigger.get(row.triggerId);
      if (own) return insertedRun(row, own, late);
      const { key, policy } = row.singleton ?? {};
      const other = byRun.get(row.runId) ?? (policy === 'skip' ? holders.get(key!) : undefined);
      return other ? existingRun(row, other) : null;
    });
  }

  #insertLean(rows: readonly TriggerRow[], query: Send): Promise<InsertedColumns[]> {
    const [first] = rows;
    if (rows.length > 1) return query(sql.triggerLean, triggerLeanValues(this.now(), rows));
    return first!.parent
      ? query(sql.triggerChild, triggerChildValues(this.now(), first!))
      : query(sql.triggerOne, triggerOneValues(this.now(), first!));
  }

  async load(requests: readonly LoadRequest[]): Promise<(Loaded | null)[]> {
    const lag = this.lag();
    const rows = await this.query<LoadColumns>(sql.load, [
      this.now(),
      requests.map((r) => r.taskId),
      requests.map((r) => r.fence),
      requests.map((r) => r.position),
    ]);
    const loads = readLoads(rows, lag());
    return requests.map((_, i) => loads.get(i + 1) ?? null);
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
type ExistingColumns = HeaderColumns & InsertedColumns & { holds: boolean };

/** Runs that an earlier try of the same call has inserted. */
const repeated = new WeakSet<Triggered>();

const replaces = (row: TriggerRow): boolean => row.singleton?.policy === 'cancel-previous';
/** Parked until a hand-over. */
const queues = (row: TriggerRow): boolean => row.singleton != null && row.singleton.policy !== 'skip';
/** The run of this id is another one: of a call that is all or none, nothing was inserted. */
const refuses = (row: TriggerRow, one: Triggered | null): boolean =>
  one !== null &&
  one.header.runId === row.runId &&
  (one.header.workflow !== row.workflow || one.header.payload !== row.payload);
function insertedRun(row: TriggerRow, c: InsertedColumns, lag: number): Triggered {
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
      depth: row.parent?.depth ?? 0,
      child: row.parent !== null,
      singleton: row.singleton?.key ?? null,
      rollbacks: 0,
      cancelling: false,
    },
    lease: c.lease_owner === null ? null : { taskId: c.task_id, fence: c.fence },
    now: c.now + lag,
  };
}

/** Ours all the same when it carries our trigger id: the first try was committed and its reply lost. */
function existingRun(row: TriggerRow, c: ExistingColumns): Triggered {
  const created = c.trigger_id === row.triggerId;
  const held = created && c.lease_owner !== null && c.lease_owner === row.owner;
  const run: Triggered = {
    created,
    header: toHeader(c),
    lease: held ? { taskId: c.task_id, fence: c.fence } : null,
    now: c.now,
  };
  if (created) repeated.add(run);
  return run;
}
