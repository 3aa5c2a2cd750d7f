import type { ResolvedFlow } from '../../../lib/engine/flow-control.js';
import type { FlowClaimed, FlowRecord } from '../../../lib/ports/index.js';
import { lease, queuesOf, taskOf } from './tasks.js';
import { PARKED, type FlowRow, type MemoryTables, type TaskRow } from './tables.js';

/** How long a key without tasks is remembered, beside its period. */
const IDLE_MS = 60_000;
const BUCKETS = 64;

const rowOf = (t: MemoryTables, key: string): FlowRow => {
  const known = t.flows.get(key);
  if (known) return known;
  const limits = { parallelism: null, rate: null, periodMs: null };
  const row: FlowRow = { key, ...limits, paused: false, servedAt: -Infinity, windows: [] };
  t.flows.set(key, row);
  return row;
};

/** The limits seen last hold for the key. */
export function noteLimits(t: MemoryTables, { key, parallelism, rate, periodMs }: ResolvedFlow): void {
  const row = rowOf(t, key);
  if (parallelism !== null || rate !== null) Object.assign(row, { parallelism, rate, periodMs });
}

const inLine = (t: MemoryTables, key: string): TaskRow[] =>
  [...t.tasks.values()].filter(({ flowKey }) => flowKey === key);
const waits = ({ owner, priority }: TaskRow): boolean => owner === null && priority < PARKED;

const recent = ({ windows, periodMs }: FlowRow, now: number): FlowRow['windows'] =>
  windows.filter(({ ends }) => ends + (periodMs ?? 0) > now);
const startsOf = (windows: FlowRow['windows']): number =>
  windows.reduce((sum, { starts }) => sum + starts, 0);

/** How many more may start now: what is not leased, and what the rate leaves. */
function freeOf(row: FlowRow, line: readonly TaskRow[], now: number): number {
  const running = line.filter(({ owner }) => owner !== null).length;
  const slots = row.parallelism === null ? Infinity : row.parallelism - running;
  const starts = row.rate === null ? Infinity : row.rate - startsOf(recent(row, now));
  return Math.max(0, Math.min(slots, starts));
}

/** When the rate allows the next start; `-Infinity` when it does now. */
function unblockedAt(row: FlowRow, now: number): number {
  if (row.rate === null) return -Infinity;
  const windows = recent(row, now);
  let left = startsOf(windows);
  for (const { ends, starts } of windows) {
    if (left < row.rate) break;
    left -= starts;
    if (left < row.rate) return ends + row.periodMs!;
  }
  return -Infinity;
}

interface Line {
  readonly row: FlowRow;
  readonly tasks: readonly TaskRow[];
  readonly readyAt: number;
}

/** Lines of these queues in which something waits that limits other than the rate let start. */
function linesFor(t: MemoryTables, queues: ReadonlySet<string>, now: number): Line[] {
  const lines: Line[] = [];
  for (const row of t.flows.values()) {
    if (row.paused) continue;
    const tasks = inLine(t, row.key);
    const running = tasks.filter(({ owner }) => owner !== null).length;
    if (row.parallelism !== null && running >= row.parallelism) continue;
    const head = Math.min(
      ...tasks.filter((task) => waits(task) && queues.has(task.queue)).map(({ dueAt }) => dueAt),
    );
    if (head < Infinity)
      lines.push({ row, tasks, readyAt: Math.max(head, unblockedAt(row, now), row.servedAt) });
  }
  return lines;
}

export function flowDueAt(t: MemoryTables, queues: ReadonlySet<string>, now: number): number | null {
  const at = Math.min(...linesFor(t, queues, now).map(({ readyAt }) => readyAt));
  return at === Infinity ? null : at;
}

/** Statement pair `flowKeys` and `claimFlow`, one transaction: the keys take turns, each gives its first, then each its second. */
export function claimFlow(
  t: MemoryTables,
  worker: string,
  workflows: readonly string[],
  limit: number,
  calls: number,
  now: number,
): FlowClaimed {
  const queues = new Set(queuesOf(workflows, calls));
  const ready = linesFor(t, queues, now).filter(({ readyAt }) => readyAt <= now);
  const ranked = ready.flatMap(({ row, tasks, readyAt }) => {
    const due = tasks.filter((task) => waits(task) && task.dueAt <= now && queues.has(task.queue));
    due.sort((a, b) => a.priority - b.priority || a.dueAt - b.dueAt || a.id - b.id);
    const free = freeOf(row, tasks, now);
    return due.slice(0, free).map((task, turn) => ({ task, turn, row, readyAt }));
  });
  ranked.sort(
    (a, b) =>
      a.turn - b.turn ||
      a.readyAt - b.readyAt ||
      (a.row.servedAt < b.row.servedAt ? -1 : a.row.servedAt > b.row.servedAt ? 1 : 0) ||
      (a.row.key < b.row.key ? -1 : 1),
  );
  const chosen = [
    ...ranked.filter(({ task }) => task.kind !== 'call').slice(0, limit),
    ...ranked.filter(({ task }) => task.kind === 'call').slice(0, calls),
  ];
  for (const { row } of ready) row.servedAt = now;
  for (const { task, row } of chosen) {
    lease(t, task, worker);
    if (row.rate === null) continue;
    const width = row.periodMs! / BUCKETS;
    const ends = Math.max(now, Math.ceil(now / width) * width);
    const windows = recent(row, now);
    const known = windows.find((one) => one.ends === ends);
    row.windows = [
      ...windows.filter((one) => one !== known),
      { ends, starts: (known?.starts ?? 0) + 1 },
    ].toSorted((a, b) => a.ends - b.ends);
  }
  return { tasks: chosen.map(({ task }) => taskOf(t, task)), progress: chosen.length > 0 };
}

export function pauseFlow(t: MemoryTables, key: string, paused: boolean): void {
  if (paused || t.flows.has(key)) rowOf(t, key).paused = paused;
}

export function flows(
  t: MemoryTables,
  key: string | null,
  after: string | null,
  limit: number,
  now: number,
): FlowRecord[] {
  return [...t.flows.values()]
    .filter((row) => (key === null || row.key === key) && (after === null || row.key > after))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
    .slice(0, limit)
    .map((row) => {
      const line = inLine(t, row.key);
      const { parallelism, rate, periodMs, paused } = row;
      return {
        key: row.key,
        parallelism,
        rate,
        periodMs,
        paused,
        running: line.filter(({ owner }) => owner !== null).length,
        waiting: line.filter((task) => waits(task) && task.dueAt <= now).length,
        started: startsOf(recent(row, now)),
      };
    });
}

/** Forgets keys without tasks that nobody has claimed of for a while. */
export function forgetIdleKeys(t: MemoryTables, now: number): void {
  for (const row of t.flows.values()) {
    const unused = row.servedAt < now - IDLE_MS - (row.periodMs ?? 0);
    if (!row.paused && unused && inLine(t, row.key).length === 0) t.flows.delete(row.key);
  }
}
