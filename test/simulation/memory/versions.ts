import { queueOf, versionName, type Takeover } from '../../../lib/engine/version.js';
import { callQueue, type MemoryTables, type RunRow, type TaskRow } from './tables.js';

const CALL = /@call$/;

function isUnserved(t: MemoryTables, queue: string): boolean {
  const workers = [...t.workers.values()];
  return (
    workers.some(({ serves }) => serves.length > 0) && !workers.some(({ serves }) => serves.includes(queue))
  );
}

/** Statement `unservedQueues`. */
export function unserved(t: MemoryTables): string[] {
  const waiting = [...t.queues].filter(([, tasks]) => [...tasks].some(({ owner }) => owner === null));
  const names = new Set(waiting.map(([name]) => name.replace(CALL, '')));
  return [...names].filter((name) => isUnserved(t, name));
}

/** Why a run cannot go on, as far as its tasks and the workers tell. */
export function stuckOf(t: MemoryTables, run: RunRow): string | null {
  if (run.status !== 'active') return null;
  const tasks = t.tasksIn(run.execution);
  const stuck = tasks.find((task) => task.stuck !== null)?.stuck;
  if (stuck !== undefined) return stuck;
  const advance = t.advanceOf(run.execution);
  if (!advance || tasks.some(({ owner }) => owner !== null) || !isUnserved(t, advance.queue)) return null;
  return `No process serves workflow ${versionName(run.workflow, run.version)}`;
}

function moveTo(t: MemoryTables, run: RunRow, version: string | null): void {
  run.version = version;
  const queue = queueOf(run.workflow, version);
  for (const task of t.tasksIn(run.execution))
    t.requeue(task, task.kind === 'call' ? callQueue(queue) : queue);
}

/** Statement `takeOver`: runs that wait, and nobody works on. */
export function takeOver(t: MemoryTables, moves: readonly Takeover[], limit: number): number {
  const chosen: [RunRow, string | null][] = [];
  for (const { queue, workflow, from, to } of moves) {
    for (const task of t.queues.get(queue) ?? []) {
      const run = t.active.get(task.execution);
      if (task.stepKey !== '' || task.owner !== null) continue;
      if (run?.workflow === workflow && run.version === from) chosen.push([run, to]);
    }
  }
  for (const [run, to] of chosen.slice(0, limit)) {
    moveTo(t, run, to);
    for (const task of t.tasksIn(run.execution)) task.stuck = null;
  }
  return Math.min(chosen.length, limit);
}

/** Statement `resumeRuns`. */
export function resume(
  t: MemoryTables,
  runIds: readonly string[],
  version: string | null | undefined,
  now: number,
): { execution: string; runId: string }[] {
  const isStuck = ({ stuck }: TaskRow): boolean => stuck !== null;
  const chosen = runIds.flatMap((runId) => {
    const run = t.current.get(runId);
    if (run?.status !== 'active') return [];
    return version !== undefined || t.tasksIn(run.execution).some(isStuck) ? [run] : [];
  });
  for (const run of chosen) {
    for (const task of t.tasksIn(run.execution)) {
      const advances = task.stepKey === '';
      if (advances || isStuck(task)) task.dueAt = Math.min(task.dueAt, now);
      task.stuck = null;
      if (!advances) continue;
      task.lost = task.gather = 0;
      task.wanted++;
      if (version === undefined) continue;
      task.owner = null;
      task.fence++;
      task.turn = 0;
    }
    if (version !== undefined) moveTo(t, run, version);
  }
  return chosen.map(({ execution, runId }) => ({ execution, runId }));
}
