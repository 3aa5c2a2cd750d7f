import type { ProbePoint } from '../../lib/ports/probe.js';
import type { WorkflowDatabase } from '../../lib/workflow.options.js';

/** Which way a run goes: `all` of it to a result, to a failure at its end, or nothing but the wait for a kept event, a child,
 * polls, a failure after which it undoes two things, or a new execution, which is `part` as that child is. */
export type Variant = 'all' | 'fails' | 'waits' | 'invokes' | 'part' | 'polls' | 'undoes' | 'continues';

/** What a worker process is told to do. */
export interface Order {
  readonly database: WorkflowDatabase;
  readonly transport: 'in-process' | 'http';
  /** of a process that only drives: where the steps are executed */
  readonly http?: { readonly url: string; readonly signingKey: string };
  /** names of the workflows that it serves */
  readonly serve: readonly string[];
  readonly make?: 'all' | 'deadly';
  /** file to which each executed step appends a line */
  readonly file: string;
  /** a run to start */
  readonly start?: { readonly workflow: string; readonly runId: string; readonly payload: unknown };
  /** dies when the point is reached for the nth time */
  readonly kill?: {
    readonly runId: string;
    readonly point: ProbePoint;
    readonly step?: string;
    readonly nth: number;
  };
  /** the step `deadly` kills the process */
  readonly deadly?: boolean;
  /** runs whose ends it awaits and tells */
  readonly finish?: readonly string[];
  readonly verbose?: boolean;
}

/** What the tables hold. */
export interface Snapshot {
  readonly runs: readonly { id: string; run_id: string; status: string }[];
  readonly steps: readonly {
    execution: string;
    key: string;
    state: string;
    position: number | null;
    attempts: number;
  }[];
  readonly tasks: readonly { execution: string; step_key: string; lost: number }[];
  readonly messages: readonly { execution: string }[];
}

export interface Started {
  readonly at: 'started';
  readonly pid: number;
  /** read before anything was claimed */
  readonly before: Snapshot;
}

export interface Outcome {
  readonly runId: string;
  readonly result?: unknown;
  readonly failed?: string;
  /** it did not end */
  readonly stuck?: string;
}

export interface Finished {
  readonly at: 'finished';
  readonly outcomes: readonly Outcome[];
  readonly after: Snapshot;
}

/** One line of the file. */
export interface Execution {
  readonly runId: string;
  readonly step: string;
  readonly attempt: number;
  readonly pid: number;
}
