import type { FlowClaimed, FlowRecord } from '../ports/index.js';
import { JournalStore } from './journal-store.js';
import { queuesOf, toTasks, type TaskColumns } from './row-mapping.js';
import * as sql from './statements/index.js';

/** Keys that one claim looks at, at most; each of them gets its turn before any gets a second look. */
const KEYS_AT_ONCE = 200;

/** The part of the store that keeps flow control. */
export abstract class FlowStore extends JournalStore {
  claimFlow(worker: string, workflows: readonly string[], limit: number, calls = 0): Promise<FlowClaimed> {
    const { queues, places } = queuesOf(workflows, limit, calls);
    return this.transaction(async (query) => {
      const [found] = await query<KeysColumns>(sql.flowKeys, [this.now(), null, queues, KEYS_AT_ONCE]);
      const { keys, notes } = found!;
      if (keys.length === 0) return { tasks: [], progress: notes > 0 };
      const rows = await query<TaskColumns>(sql.claimFlow, [
        this.now(),
        worker,
        queues,
        places,
        keys,
        limit,
        calls,
      ]);
      const tasks = toTasks(rows);
      return { tasks, progress: tasks.length > 0 || notes > 0 };
    });
  }

  async pauseFlow(key: string, paused: boolean): Promise<void> {
    await this.query(paused ? sql.pauseFlow : sql.resumeFlow, [key]);
  }

  async flows(key: string | null, after: string | null, limit: number): Promise<FlowRecord[]> {
    // what was noted and not merged yet belongs to the picture
    for (let notes = sql.NOTES_AT_ONCE; notes === sql.NOTES_AT_ONCE;) {
      const [found] = await this.query<KeysColumns>(sql.flowKeys, [this.now(), null, [], 0]);
      notes = found!.notes;
    }
    const rows = await this.query<StateColumns>(sql.flowStates, [this.now(), key, after, limit]);
    return rows.map(({ period_ms: periodMs, ...row }) => ({ ...row, periodMs }));
  }
}

interface KeysColumns {
  keys: string[];
  notes: number;
}

interface StateColumns extends Omit<FlowRecord, 'periodMs'> {
  period_ms: number | null;
}
