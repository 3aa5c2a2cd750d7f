import type { JournalRow } from '../../../lib/engine/journal.js';
import type { Lease } from '../../../lib/ports/index.js';
import type { History } from '../check/history.js';
import { MemoryTables, type MessageRow, type RunRow, type TaskRow } from '../memory/tables.js';

/** The payload of a run names its life between these. */
const LIFE = /<[^<>]+>/;

/** Tables that tell the history what becomes durable, and whose statement did it. */
export class RecordingTables extends MemoryTables {
  /** who sent the statement that is being executed */
  by = '';

  constructor(private readonly history: History) {
    super();
  }

  override addRun(given: Omit<RunRow, 'id' | 'execution'>): RunRow {
    const run = super.addRun(given);
    const { execution, runId, parentId: parent, parentKey, payload } = run;
    const life = LIFE.exec(payload)?.[0] ?? '';
    this.history.add(this.by, { is: 'run', execution, runId, life, parent, parentKey });
    return run;
  }

  override addTask(task: Parameters<MemoryTables['addTask']>[0]): TaskRow {
    const row = super.addTask(task);
    if (row.owner !== null) this.leased(row, row.owner);
    return row;
  }

  override putStep(execution: string, row: JournalRow): void {
    super.putStep(execution, row);
    this.history.add(this.by, { is: 'row', execution, row });
  }

  override endRun(
    run: RunRow,
    status: Exclude<RunRow['status'], 'active'>,
    now: number,
    fence: number | null,
  ): void {
    super.endRun(run, status, now, fence);
    this.history.add(this.by, { is: 'ended', execution: run.execution, status });
  }

  override addMessage(row: MessageRow): boolean {
    const added = super.addMessage(row);
    const { execution, id, eventId, kind } = row;
    if (added && execution !== null && kind !== 'taken')
      this.history.add(this.by, { is: 'arrived', execution, id, eventId });
    return added;
  }

  override removeMessage(row: MessageRow): void {
    const { execution, id, eventId, kind } = row;
    if (execution !== null && kind !== 'taken' && this.messages.has(id))
      this.history.add(this.by, { is: 'taken', execution, id, eventId });
    super.removeMessage(row);
  }

  override changed(run: RunRow, what: 'result' | 'rollbacks' | 'cancelling'): void {
    const { execution } = run;
    if (what === 'result') this.history.add(this.by, { is: 'result', execution, value: run.result! });
    else if (what === 'rollbacks')
      this.history.add(this.by, { is: 'rollbacks', execution, count: run.rollbacks });
    else this.history.add(this.by, { is: 'cancelling', execution });
  }

  override leased({ taskId: task, fence }: Lease, worker: string): void {
    this.history.add(this.by, { is: 'leased', task, fence, worker });
  }

  override wrote({ taskId: task, fence }: Lease, turn: number | null): void {
    this.history.add(this.by, { is: 'wrote', task, fence, turn });
  }
}
