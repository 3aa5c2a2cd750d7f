import type { Expected, Kind } from './jobs.js';

/** A run that was accepted, and what came of it. */
export interface AcceptedRun {
  readonly runId: string;
  readonly kind: Kind;
  readonly expected: Expected;
  /** undefined: nobody knows it */
  readonly found:
    { readonly status: string; readonly result?: unknown; readonly message?: string } | undefined;
}

/** A row of `workflow_run`: a run has one for each execution, children are runs too. */
export interface ExecutionRow {
  readonly execution: string;
  readonly runId: string;
  readonly status: string;
}

/** What the triggers saw; `key` of a start is `parent/step` of a child. */
export interface HistoryRow {
  readonly at: number;
  readonly what: 'started' | 'answered' | 'journaled' | 'rewritten' | 'ended' | 'given back';
  readonly execution: string;
  readonly key: string;
  readonly detail: string;
}

/** One execution of a step, as the step itself wrote it. */
export interface StepExecution {
  readonly execution: string;
  readonly key: string;
  readonly attempt: number;
  readonly pid: number;
  readonly startedAt: number;
}

/** A process that was killed, and the executions whose tasks it held. */
export interface Kill {
  readonly at: number;
  readonly held: readonly string[];
}

/** All that is known once it is over. Times in milliseconds, with fractions. */
export interface Evidence {
  readonly accepted: readonly AcceptedRun[];
  readonly executions: readonly ExecutionRow[];
  readonly history: readonly HistoryRow[];
  readonly steps: readonly StepExecution[];
  readonly kills: readonly Kill[];
  /** tasks and messages that are left although their run has ended, by execution */
  readonly left: readonly { readonly execution: string; readonly what: string }[];
}
