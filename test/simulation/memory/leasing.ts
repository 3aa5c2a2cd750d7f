import type { Claimed, Lease } from '../../../lib/ports/index.js';
import { flowDueAt } from './flowing.js';
import { PARKED, type MemoryTables, type TaskRow } from './tables.js';
import { free, held, lease, queuesOf, taskOf } from './tasks.js';

/** Statement `claim`: leases due tasks, smaller priorities first, then the longest due. */
export function claim(
  t: MemoryTables,
  worker: string,
  workflows: readonly string[],
  limit: number,
  floor: number | null,
  calls: number,
  priorities: readonly number[],
  leadMs: number,
  now: number,
): Claimed {
  const queues = queuesOf(workflows, calls);
  const unleased = queues.flatMap((name) =>
    [...(t.queues.get(name) ?? [])].filter(({ owner, flowKey }) => owner === null && flowKey === null),
  );
  const due: TaskRow[] = [];
  let nextDueAt = Infinity;
  for (const row of unleased) {
    if (!priorities.includes(row.priority)) continue;
    if (row.dueAt > now + leadMs) nextDueAt = Math.min(nextDueAt, row.dueAt);
    else if (floor === null || row.dueAt >= floor) due.push(row);
  }
  due.sort((a, b) => a.priority - b.priority || a.dueAt - b.dueAt || a.id - b.id);
  const isCall = ({ kind }: TaskRow): boolean => kind === 'call';
  const chosen = [
    ...due.filter((row) => !isCall(row)).slice(0, limit),
    ...due.filter(isCall).slice(0, calls),
  ];
  for (const row of chosen) lease(t, row, worker);
  const used = new Set(unleased.map(({ priority }) => priority).filter((priority) => priority < PARKED));
  return {
    tasks: chosen.map((row) => taskOf(t, row)),
    early: new Map(chosen.filter(({ dueAt }) => dueAt > now).map(({ taskId, dueAt }) => [taskId, dueAt])),
    now,
    nextDueAt: nextDueAt === Infinity ? null : nextDueAt,
    flowDueAt: flowDueAt(t, new Set(queues), now),
    // before this claim has leased anything
    priorities: floor === null ? [...used] : null,
  };
}

/** Statement `release`. A task whose run has ended goes. */
export function release(
  t: MemoryTables,
  leases: readonly Lease[],
  delayMs: number,
  stuck: string | null,
  now: number,
): void {
  for (const one of leases) {
    const row = held(t, one);
    if (!row || row.owner === null) continue;
    if (!t.active.has(row.execution)) t.removeTask(row);
    else {
      free(row, now + delayMs);
      row.stuck = stuck ?? row.stuck;
    }
  }
}

export function adopt(t: MemoryTables, one: Lease, worker: string): boolean {
  const row = held(t, one);
  if (!row || row.owner === null) return false;
  row.owner = worker;
  return true;
}

export function reactivate(t: MemoryTables, execution: string, late: boolean, now: number): void {
  const row = t.advanceOf(execution);
  if (!row) return;
  t.wake(row, now);
  if (late) row.gather++;
}

export function register(t: MemoryTables, worker: string, serves: readonly string[], beatAt: number): void {
  t.workers.set(worker, { id: worker, serves, beatAt });
}

export function beat(
  t: MemoryTables,
  worker: string,
  known: readonly Lease[],
  beatAt: number,
): { alive: boolean; leases: Lease[]; valid: Lease[] } {
  const me = t.workers.get(worker);
  if (me) me.beatAt = beatAt;
  const leases = [...t.tasks.values()].filter(({ owner }) => owner === worker);
  const valid = known.filter((one) => held(t, one));
  const bare = ({ taskId, fence }: Lease): Lease => ({ taskId, fence });
  return { alive: me !== undefined, leases: leases.map(bare), valid: valid.map(bare) };
}

export function unregister(t: MemoryTables, worker: string, now: number): void {
  for (const row of t.tasks.values()) if (row.owner === worker) free(row, Math.min(row.dueAt, now));
  t.workers.delete(worker);
}

/** Statement `sweep`: frees what silent workers hold, and what is leased to one that is not registered. */
export function sweep(
  t: MemoryTables,
  worker: string,
  timeoutMs: number,
  now: number,
  beatsNow: number,
): number {
  const silent = (id: string): boolean => {
    const row = t.workers.get(id);
    return row === undefined || row.beatAt < beatsNow - timeoutMs;
  };
  const dead = [...t.tasks.values()].filter(
    ({ owner }) => owner !== null && owner !== worker && silent(owner),
  );
  for (const row of dead) {
    const position = Math.max(0, ...t.stepsOf(row.execution).map((step) => step.position ?? 0));
    row.lost = position > row.lostPosition ? 1 : row.lost + 1;
    row.lostPosition = position;
    free(row, Math.min(row.dueAt, now));
  }
  for (const id of t.workers.keys()) if (id !== worker && silent(id)) t.workers.delete(id);
  return dead.length;
}

/** Statement `leasedSteps`: what is leased to a worker of the steps of one run. */
export const leasedSteps = (
  t: MemoryTables,
  execution: string,
  worker: string,
): (Lease & { readonly key: string })[] =>
  [...(t.tasksOf.get(execution)?.values() ?? [])]
    .filter(({ kind, owner }) => kind === 'step' && owner === worker)
    .map(({ taskId, fence, stepKey: key }) => ({ taskId, fence, key }));
