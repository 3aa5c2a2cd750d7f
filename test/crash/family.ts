import type { WorkflowDatabase } from '../../lib/workflow.options.js';

export const PARENT = 'the parent';
/** Is cancelled when its id is sent: until then the parent has one to wait for. */
export const LAST = 'part 0';

export interface Part {
  readonly n: number;
  /** `nests`: it has a child of its own, which waits for ever */
  readonly how: 'completes' | 'fails' | 'waits' | 'nests';
}

/** What the parent got from one of its children. */
export type Got =
  | { readonly status: 'completed'; readonly value: number }
  | { readonly status: 'failed' | 'cancelled'; readonly message: string };

export interface FamilyOrder {
  readonly database: WorkflowDatabase;
  readonly transport: 'in-process' | 'http';
  /** file to which each executed step appends a line */
  readonly file: string;
  readonly parts: Part[];
  /** run ids of those that are cancelled from outside */
  readonly doomed: readonly string[];
  readonly cancelFrom: number;
}

export interface FamilyReport {
  readonly at: 'finished';
  readonly got: readonly Got[] | string;
  readonly runs: readonly { run_id: string; status: string; result: string | null; error: string | null }[];
  readonly steps: readonly { run_id: string; key: string; state: string; position: number | null }[];
  /** tasks, messages and marks that are left at the end */
  readonly left: readonly string[];
}
