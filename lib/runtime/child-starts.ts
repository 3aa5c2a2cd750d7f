import { encodeFailure, toFailure } from '../engine/failure.js';
import type { JournalRow } from '../engine/journal.js';
import { pendingRow } from '../engine/plan.js';
import type { Ask } from '../engine/replay.js';
import { WorkflowError } from '../errors/index.js';

/**
 * Starts the child runs that are asked for, all at once, and gives the row of each: pending with the child's run id, or
 * failed where it could not be started (no position yet). Null: this run has ended meanwhile, and nothing of it counts.
 * Repeated after a crash it finds the children it has started: their ids come from the steps.
 * @param onHere called with each child that executes in this process, before that comes to anything
 */
export async function startChildren(
  asks: readonly Ask[],
  now: () => number,
  onHere: (key: string, execution: string) => void,
): Promise<JournalRow[] | null> {
  const started = await Promise.allSettled(
    asks.map(async ({ key, request }) => {
      const { runId, here } = await request.start!(key);
      // not with the others: this one may have ended by then
      if (here !== null) onHere(key, here);
      return runId;
    }),
  );
  const rows: JournalRow[] = [];
  for (const [i, one] of started.entries()) {
    const row = pendingRow(asks[i]!, now());
    if (one.status === 'fulfilled') rows.push({ ...row, dispatched: true, request: one.value });
    else if (WorkflowError.is(one.reason, 'WF_RUN_CANCELLED')) return null;
    else rows.push(failedRow(row, one.reason, now()));
  }
  return rows;
}

const failedRow = (row: JournalRow, error: unknown, now: number): JournalRow => ({
  ...row,
  state: 'answered',
  answer: { ok: false, failure: encodeFailure(toFailure(error)) },
  attempts: 1,
  finishedAt: now,
});
