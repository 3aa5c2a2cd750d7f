import { isDeepStrictEqual } from 'node:util';
import type { JournalRow } from '../../../lib/engine/journal.js';
import type { Book, Judge } from './checker.js';

/** What the journal, the inbox and the leases look like, whatever the code does. */
export function judgeRows(): Judge {
  const positions = new Map<string, Map<number, string>>();
  const fences = new Map<string, number>();
  const writers = new Map<string, string>();
  const children = new Map<string, string>();
  /** messages that were taken out of an inbox by a statement that gave them to nobody, so far */
  const unexplained = new Map<string, string>();
  let statementAt = 0;
  return (entry, { executions, complain }) => {
    if (entry.at !== statementAt) {
      for (const id of unexplained.keys())
        complain(
          'no event is lost',
          `${id} was taken out of the inbox and given to no wait, and the run goes on`,
        );
      unexplained.clear();
      statementAt = entry.at;
    }
    switch (entry.is) {
      case 'row': {
        const { execution, row } = entry;
        const run = executions.get(execution);
        const before = run?.rows.get(row.key);
        if (run && run.status !== 'active')
          complain(
            'one outcome',
            `${run.runId}/${row.key} is written after the run has ended as ${run.status}`,
          );
        if (before?.state === 'journaled' && !isDeepStrictEqual(before, row))
          complain('journaled never changes', `${execution}/${row.key} was journaled, and is written again`);
        if (before?.state === 'answered' && !isDeepStrictEqual(before.answer, row.answer))
          complain('journaled never changes', `${execution}/${row.key} was answered otherwise`);
        if (row.position === null) return;
        const taken = positions.get(execution) ?? new Map<number, string>();
        positions.set(execution, taken);
        const other = taken.get(row.position);
        if (other !== undefined && other !== row.key)
          complain(
            'positions are one order',
            `${execution}: ${other} and ${row.key} both have position ${row.position}`,
          );
        taken.set(row.position, row.key);
        return;
      }
      case 'leased': {
        const last = fences.get(entry.task) ?? 0;
        if (entry.fence <= last)
          complain(
            'one writer for a fence',
            `task ${entry.task} is leased under fence ${entry.fence} after ${last}`,
          );
        fences.set(entry.task, entry.fence);
        return;
      }
      case 'wrote': {
        const { task, fence, turn, by } = entry;
        const last = fences.get(task) ?? 0;
        if (fence < last)
          complain(
            'one writer for a fence',
            `task ${task} is written under fence ${fence}, leased again under ${last}`,
          );
        const id = turn === null ? `${task}/${fence}` : `${task}/${fence}/${turn}`;
        const other = writers.get(id);
        if (other !== undefined && (other !== by || turn !== null))
          complain('one writer for a fence', `${other} and ${by} both write under ${id}`);
        writers.set(id, by);
        return;
      }
      case 'run': {
        if (entry.parent === null) return;
        const id = `${entry.parent}/${entry.parentKey}`;
        const other = children.get(id);
        if (other !== undefined && other !== entry.runId)
          complain('one child for a step', `step ${id} has started ${other} and ${entry.runId}`);
        children.set(id, entry.runId);
        return;
      }
      case 'taken': {
        for (const row of executions.get(entry.execution)?.rows.values() ?? [])
          if (row.eventId === entry.eventId || entry.eventId === `child/${childOf(row, executions)}`) return;
        unexplained.set(`${entry.execution}/${entry.eventId}`, entry.execution);
        return;
      }
      case 'ended': {
        for (const [id, execution] of unexplained) if (execution === entry.execution) unexplained.delete(id);
        return;
      }
      case 'over': {
        for (const [execution, taken] of positions)
          for (let at = 1; at <= taken.size; at++)
            if (!taken.has(at))
              complain('positions are one order', `${execution}: nothing has position ${at}`);
      }
    }
  };
}

/** The execution whose end has answered this row. */
function childOf(row: JournalRow, executions: Book['executions']): string | undefined {
  if (row.kind !== 'invoke' || row.state !== 'journaled') return undefined;
  for (const { execution, runId, status } of executions.values())
    if (runId === row.request && status !== 'continued') return execution;
  return undefined;
}
