import type { Book, Execution, Judge } from './checker.js';

/** How runs end, and what people are told of it. */
export function judgeEnds(): Judge {
  const accepted = new Set<string>();
  const cancelled = new Set<string>();
  return (entry, book) => {
    const { executions, complain } = book;
    switch (entry.is) {
      case 'ended': {
        const run = executions.get(entry.execution);
        if (run && run.status !== 'active')
          complain('one outcome', `${run.runId} has ${run.status}, and ends again as ${entry.status}`);
        return;
      }
      case 'row': {
        const { row } = entry;
        if (row.kind !== 'invoke' || row.state !== 'journaled' || row.request === null) return;
        const child = currentOf(book, row.request);
        if (!child)
          return complain(
            'a child answers its step',
            `${row.key} names child ${row.request}, which is not there`,
          );
        if (child.status === 'active')
          complain(
            'a child answers its step',
            `${row.key} is answered, and its child ${child.runId} goes on`,
          );
        else if ((child.status === 'completed') !== (row.answer?.ok ?? false))
          complain(
            'a child answers its step',
            `${row.key} says otherwise than child ${child.runId}: ${child.status}`,
          );
        else if (row.answer?.ok && row.answer.value !== child.result)
          complain(
            'a child answers its step',
            `${row.key} is ${row.answer.value}, and child ${child.runId} gave ${child.result}`,
          );
        return;
      }
      case 'accepted':
        accepted.add(entry.runId);
        if (!currentOf(book, entry.runId))
          complain('every run ends', `${entry.runId} was accepted and is not there`);
        return;
      case 'cancel':
        if (entry.done) cancelled.add(entry.runId);
        return;
      case 'told': {
        const run = currentOf(book, entry.runId);
        if (run?.status !== entry.how)
          complain(
            'told what is',
            `${entry.runId} is said to have ${entry.how}, and is ${run?.status ?? 'not there'}`,
          );
        else if (entry.how === 'completed' && decoded(run.result) !== entry.value)
          complain(
            'told what is',
            `the result of ${entry.runId} is said to be ${entry.value}, and is ${run.result}`,
          );
        return;
      }
      case 'over': {
        for (const run of executions.values()) {
          if (run.status === 'active')
            complain(
              'every run ends',
              `${run.runId} (execution ${run.execution}) has not ended: ${openOf(run)}`,
            );
        }
        for (const runId of accepted)
          if (!currentOf(book, runId)) complain('every run ends', `${runId} was accepted and is not there`);
        for (const runId of cancelled) {
          const run = currentOf(book, runId);
          // one that had failed before is undone to the end, and has failed
          const failedBefore = run?.status === 'failed' && run.rows.has('@failure');
          if (run && run.status !== 'cancelled' && run.status !== 'active' && !failedBefore)
            complain('cancelled or ended, not both', `${runId} was cancelled, and is ${run.status}`);
        }
      }
    }
  };
}

/** The workload gives text; the codec stores it as JSON. */
const decoded = (result: string | null): unknown => (result === null ? null : JSON.parse(result));

/** The execution of a run that counts: the last one. */
function currentOf({ executions }: Book, runId: string): Execution | undefined {
  let current: Execution | undefined;
  for (const run of executions.values()) if (run.runId === runId) current = run;
  return current;
}

const openOf = ({ rows }: Execution): string =>
  [...rows.values()]
    .filter(({ state }) => state !== 'journaled')
    .map(({ key, state }) => `${key} ${state}`)
    .join(', ') || 'nothing is open';
