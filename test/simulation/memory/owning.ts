import type { OwnedRun, Taker } from '../../../lib/ports/index.js';
import { load } from './journaling.js';
import { PARKED, type MemoryTables, type TaskRow } from './tables.js';
import { lease, taskOf } from './tasks.js';

/** Part of the statements that wake runs: leases them to the taker, as far as it has places for what a claim of it could find. */
export function own(
  t: MemoryTables,
  woken: readonly TaskRow[],
  taker: Taker | null,
  now: number,
): OwnedRun[] {
  if (!taker) return [];
  const free = ({ owner, flowKey, priority, queue }: TaskRow): boolean =>
    owner === null && flowKey === null && priority < PARKED && taker.queues.includes(queue);
  const taken = woken
    .filter(free)
    .toSorted((a, b) => a.id - b.id)
    .slice(0, taker.places);
  return taken.map((row) => {
    lease(t, row, taker.worker);
    const short = t.stepsOf(row.execution).length <= taker.readRows;
    return {
      task: taskOf(t, row),
      loaded: short ? load(t, { taskId: row.taskId, fence: row.fence, position: 0 }, now) : null,
    };
  });
}
