import type { JournalRow } from '../../../lib/engine/journal.js';
import type { Entry } from './history.js';
import { judgeCode } from './code-rules.js';
import { judgeEnds } from './end-rules.js';
import { judgeRows } from './row-rules.js';

/** A promise that was not kept. */
export interface Violation {
  readonly rule: Rule;
  readonly what: string;
  /** where in the history it shows */
  readonly at: number;
}

export type Rule =
  | 'journaled is never executed again'
  | 'journaled before what depends on it'
  | 'journaled never changes'
  | 'positions are one order'
  | 'replay sees what was journaled'
  | 'every run ends'
  | 'one outcome'
  | 'told what is'
  | 'cancelled or ended, not both'
  | 'one child for a step'
  | 'a child answers its step'
  | 'undone, the last first'
  | 'no event is lost'
  | 'one writer for a fence';

/** A run's execution, as far as the history has come. */
export interface Execution {
  readonly execution: string;
  readonly runId: string;
  readonly life: string;
  readonly parent: string | null;
  readonly parentKey: string | null;
  readonly rows: Map<string, JournalRow>;
  status: 'active' | 'completed' | 'failed' | 'cancelled' | 'continued';
  result: string | null;
  rollbacks: number;
  cancelling: boolean;
}

/** What the rules look at: everything durable before an entry, and how to complain. */
export interface Book {
  readonly executions: Map<string, Execution>;
  readonly complain: (rule: Rule, what: string) => void;
}

/** A rule takes the entries one by one; the book is as it was before the entry. */
export type Judge = (entry: Entry, book: Book) => void;

/** Judges a history by the promises. Pure: nothing but the history counts. */
export function check(history: readonly Entry[]): Violation[] {
  const violations: Violation[] = [];
  let at = 0;
  const book: Book = {
    executions: new Map(),
    complain: (rule, what) => void violations.push({ rule, what, at }),
  };
  const judges = [judgeRows(), judgeCode(), judgeEnds()];
  for (const [i, entry] of history.entries()) {
    at = i;
    for (const judge of judges) judge(entry, book);
    enter(entry, book);
  }
  return violations;
}

function enter(entry: Entry, { executions }: Book): void {
  switch (entry.is) {
    case 'run': {
      const { execution, runId, life, parent, parentKey } = entry;
      executions.set(execution, {
        execution,
        runId,
        life,
        parent,
        parentKey,
        rows: new Map(),
        status: 'active',
        result: null,
        rollbacks: 0,
        cancelling: false,
      });
      return;
    }
    case 'row':
      executions.get(entry.execution)?.rows.set(entry.row.key, entry.row);
      return;
    case 'ended':
    case 'result':
    case 'rollbacks':
    case 'cancelling': {
      const run = executions.get(entry.execution);
      if (!run) return;
      if (entry.is === 'ended') run.status = entry.status;
      else if (entry.is === 'result') run.result = entry.value;
      else if (entry.is === 'rollbacks') run.rollbacks = entry.count;
      else run.cancelling = true;
    }
  }
}
