/** What follows from the counts for other machines. None of it was measured, and it says so where it is printed. */
import { rowsOf, type RunRecord } from './records.js';
import { shown } from './shown.js';

export const DERIVED_HEAD = [
  'runs of 10 steps',
  'runs/s a core of Node',
  'runs/s a core of PostgreSQL',
  'cores of Node for one of PostgreSQL',
  'WAL MiB/s at that',
  'a lone run when a commit takes 2 ms',
] as const;

/** A commit of a lone run waits for the one before, but for the trigger's NOTIFY at the end. */
const WAITED_FOR = 11;
const SLOW_COMMIT_MS = 2;

export function derivedRowsOf(records: readonly RunRecord[], peer: string): string[][] {
  return rowsOf(records, 'w1')
    .filter((row) => row.peer === peer)
    .flatMap((row) => {
      const [node, pg, wal] = ['nodeMs', 'pgMs', 'walKib'].map((name) => row.value(`per.${name}`));
      if (!node || !pg || wal === undefined) return [];
      const ofServer = 1000 / pg;
      return [
        [
          row.mode,
          shown(1000 / node),
          shown(ofServer),
          shown(node / pg),
          shown((ofServer * wal) / 1024),
          `${WAITED_FOR * SLOW_COMMIT_MS} ms and its CPU`,
        ],
      ];
    });
}
