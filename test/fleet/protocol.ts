import type { WorkflowHttpOptions, WorkflowWorkerOptions } from '../../lib/workflow.options.js';

/** What a process of the fleet is told. */
export interface Order {
  readonly url: string;
  readonly transport: 'in-process' | 'http';
  readonly http?: WorkflowHttpOptions;
  /** false: an endpoint that claims nothing, with the heartbeat of `overrides` */
  readonly worker: WorkflowWorkerOptions | false;
  readonly overrides?: { readonly heartbeatMs: number; readonly leaseTimeoutMs: number };
  /** file to which each execution of a step appends a line; beside it the one that lets long steps go */
  readonly file: string;
}

export interface Started {
  readonly at: 'started';
  readonly url: string;
  /** id of its row in workflow_worker */
  readonly worker: string;
}

/** What the logger of a process was told, from `warn` on. */
export interface Said {
  readonly at: 'said';
  readonly line: string;
}

/** One line of the file. */
export interface Execution {
  readonly runId: string;
  readonly step: string;
  readonly pid: number;
  /** ms of the epoch, when it began */
  readonly began: number;
}
