import { queueOf } from '../../../lib/engine/version.js';
import type { Lease, RunHeader, TriggerRow, Triggered } from '../../../lib/ports/index.js';
import { cancelWhere } from './ending.js';
import { noteLimits } from './flowing.js';
import { headerOf, NEW_RUN, PARKED, type MemoryTables, type RunRow } from './tables.js';

/** A run that was inserted, or found, by the call. */
export interface Inserted {
  readonly run: RunRow;
  readonly header: RunHeader;
  readonly lease: (Lease & { readonly owner: string }) | null;
  readonly now: number;
}

const queues = ({ singleton }: TriggerRow): boolean => singleton != null && singleton.policy !== 'skip';

/** Those that queue for a singleton key stand in line as they were given; the others in order of their run ids. */
function ordered(rows: readonly TriggerRow[]): TriggerRow[] {
  const others = rows.filter((row) => !queues(row));
  others.sort((a, b) => (a.runId < b.runId ? -1 : a.runId > b.runId ? 1 : 0));
  return [...others, ...rows.filter(queues)];
}

/** Statement `trigger`: inserts runs with their tasks. What exists already is left out of the answer. */
export function insertRuns(
  t: MemoryTables,
  rows: readonly TriggerRow[],
  allOrNone: boolean,
  now: number,
): Map<string, Inserted> {
  const inserted = new Map<string, Inserted>();
  const refused = rows.some(({ runId, workflow, payload }) => {
    const run = t.current.get(runId);
    return run !== undefined && (run.workflow !== workflow || run.payload !== payload);
  });
  if (allOrNone && refused) return inserted;
  for (const row of ordered(rows)) {
    const { singleton = null, parent } = row;
    if (parent && !t.advanceOf(parent.execution)) continue;
    if (t.current.has(row.runId)) continue;
    if (singleton?.policy === 'skip' && t.holderOf(singleton.key)) continue;
    const run = t.addRun({
      ...NEW_RUN,
      runId: row.runId,
      workflow: row.workflow,
      version: row.version,
      payload: row.payload,
      labels: row.labels,
      triggerId: row.triggerId,
      createdAt: now,
      deadlineAt: row.deadlineInMs === null ? null : now + row.deadlineInMs,
      parentId: parent?.execution ?? null,
      parentKey: parent?.key ?? null,
      depth: parent?.depth ?? 0,
      cascades: parent?.cascades ?? true,
      priority: row.priority ?? 0,
      flowKey: row.flow?.key ?? null,
      singletonKey: singleton?.key ?? null,
      singletonHeld: singleton?.policy === 'skip',
    });
    const task = t.addTask({
      execution: run.execution,
      queue: queueOf(row.workflow, row.version),
      kind: 'advance',
      stepKey: '',
      flowKey: run.flowKey,
      priority: queues(row) ? PARKED : run.priority,
      dueAt: 'inMs' in row.due ? now + row.due.inMs : row.due.at,
      owner: row.owner,
    });
    if (row.flow) noteLimits(t, row.flow);
    const lease = row.owner === null ? null : { taskId: task.taskId, fence: task.fence, owner: row.owner };
    inserted.set(row.triggerId, { run, header: headerOf(run), lease, now });
  }
  return inserted;
}

/** Statement `existingRuns`: the current runs with these ids, and the holders of these keys, with the tasks that advance them. */
export function existingRuns(
  t: MemoryTables,
  runIds: ReadonlySet<string>,
  keys: ReadonlySet<string>,
  now: number,
): { readonly byRun: Map<string, Inserted>; readonly byKey: Map<string, Inserted> } {
  const seen = (run: RunRow): Inserted => {
    const task = t.advanceOf(run.execution);
    const lease = task?.owner == null ? null : { taskId: task.taskId, fence: task.fence, owner: task.owner };
    return { run, header: headerOf(run), lease, now };
  };
  const of = (names: ReadonlySet<string>, find: (name: string) => RunRow | undefined) =>
    new Map(
      [...names].flatMap((name) => {
        const run = find(name);
        return run ? [[name, seen(run)] as const] : [];
      }),
    );
  return { byRun: of(runIds, (id) => t.current.get(id)), byKey: of(keys, (key) => t.holderOf(key)) };
}

export const created = ({ header, lease, now }: Inserted): Triggered => ({
  created: true,
  header,
  lease: lease && { taskId: lease.taskId, fence: lease.fence },
  now,
});

/** Ours all the same when it carries our trigger id: the first try was committed and its reply lost. */
export function found(row: TriggerRow, { run, header, lease, now }: Inserted): Triggered {
  const ours = run.triggerId === row.triggerId;
  const held = ours && lease !== null && lease.owner === row.owner;
  return {
    created: ours,
    header,
    lease: held ? { taskId: lease.taskId, fence: lease.fence } : null,
    now,
  };
}

/** The last new run of each key cancels all others of it. */
export function replaceOthers(
  t: MemoryTables,
  rows: readonly TriggerRow[],
  inserted: ReadonlyMap<string, Inserted>,
  now: number,
): { readonly last: string | undefined; readonly cancelled: readonly string[] } {
  const own = new Map<string, string>();
  for (const { triggerId, singleton } of rows) {
    const one = inserted.get(triggerId);
    if (singleton?.policy === 'cancel-previous' && one) own.set(singleton.key, one.run.execution);
  }
  const cancelled = cancelWhere(
    t,
    (run) =>
      run.singletonKey !== null &&
      own.has(run.singletonKey) &&
      own.get(run.singletonKey) !== run.execution &&
      run.cancellingAt === null,
    now,
  );
  return { last: [...own.values()][0], cancelled: cancelled.map(({ execution }) => execution) };
}

/** Statement `handOver`: the oldest run that waits for a key becomes its holder, where nobody is. */
export function handOver(t: MemoryTables, keys: readonly string[] | null): number {
  const waiting = new Map<string, RunRow>();
  for (const run of t.active.values()) {
    if (run.singletonKey === null || run.singletonHeld) continue;
    if (keys !== null && !keys.includes(run.singletonKey)) continue;
    if (!waiting.has(run.singletonKey)) waiting.set(run.singletonKey, run);
  }
  let handed = 0;
  for (const [key, run] of waiting) {
    const task = t.advanceOf(run.execution);
    if (!task || t.holderOf(key)) continue;
    run.singletonHeld = true;
    task.priority = run.priority;
    handed++;
  }
  return handed;
}

/** True while a run waits for a key that nobody holds. */
export function owesSingletons(t: MemoryTables): boolean {
  for (const run of t.active.values())
    if (run.singletonKey !== null && !run.singletonHeld && !t.holderOf(run.singletonKey)) return true;
  return false;
}
