import type { EntityManager } from 'typeorm';
import type { EventRef, NotifyOptions, NotifyResult, PayloadOf, TriggerOptions } from '../authoring/index.js';
import type { Duration } from '../engine/duration.js';
import type { FailureSummary } from '../engine/errors.js';
import type { StepKind } from '../engine/journal.js';
import type { RunStatus } from '../ports/index.js';

/** Options of `client.trigger`. */
export interface ClientTriggerOptions extends TriggerOptions {
  /** inserts in the caller's transaction: the run exists if, and only if, that commits */
  manager?: EntityManager;
}

/** Options of `client.notify` and `run.notify`. */
export interface ClientNotifyOptions extends NotifyOptions {
  /** in the caller's transaction */
  manager?: EntityManager;
}

/** One run of `client.triggerMany`. */
export interface TriggerItem<W> extends TriggerOptions {
  payload: PayloadOf<W>;
}

/** Why a run has failed. */
export interface RunError extends FailureSummary {
  /** key of the step whose failure ended the run */
  readonly step?: string;
}

/** A run as it is now; narrow it by `status`. */
export type Run<P = unknown, R = unknown> = {
  runId: string;
  workflow: string;
  version?: string;
  payload: P;
  labels: readonly string[];
  /** attempts of `run` itself, from 1 */
  attempt: number;
  createdAt: Date;
} & (
  | {
      /** `pending`: not started; `running`: a process works on it; `waiting`: for time, an event or a retry */
      status: 'pending' | 'running' | 'waiting';
      /** why the run cannot go on until somebody acts: its code does not fit its journal, or no process serves its version */
      stuck?: string;
      /** it was cancelled, and what it did is being undone */
      cancelling?: true;
    }
  | { status: 'completed'; result: R; finishedAt: Date }
  | { status: 'failed'; error: RunError; finishedAt: Date }
  | { status: 'cancelled'; finishedAt: Date }
);

/** One entry of a run's journal, for a person to read. */
export interface JournalEntry {
  readonly key: string;
  readonly kind: StepKind;
  /** `pending`: not answered; `answered`: not yet seen by the code; `journaled`: a fact */
  readonly state: 'pending' | 'answered' | 'journaled';
  readonly position: number | null;
  readonly attempts: number;
  readonly result?: unknown;
  /** what the last attempt failed with; of a pending step: it will be tried again */
  readonly error?: FailureSummary;
  readonly event?: string;
  /** a wait or a poll whose time ran out */
  readonly timedOut?: boolean;
  readonly askedAt: Date;
  readonly finishedAt: Date | null;
  /** when a retry, the next look of a poll, a sleep or a timeout is due */
  readonly wakeAt: Date | null;
}

/** Which runs; all given conditions hold at once. */
export interface RunQuery {
  workflow?: string | (abstract new (...args: any[]) => unknown);
  status?: RunStatus;
  label?: string;
  createdAfter?: Date;
  createdBefore?: Date;
}

/** Which runs `client.list` gives, and how many at a time. */
export interface ListQuery extends RunQuery {
  /** only runs that cannot go on until somebody acts: see `stuck` of a run */
  stuck?: true;
  /** runs of one page, 1 to 1000 @default 50 */
  limit?: number;
  /** `cursor` of the page before */
  cursor?: string;
}

/** One page of `client.list`; `cursor` asks for the next one. */
export interface RunPage {
  /** newest first */
  runs: Run[];
  /** for the next page; absent on the last */
  cursor?: string;
}

/** A run that waits for an event: one of what `client.getWaiters` gives. */
export interface Waiter {
  runId: string;
  workflow: string;
  /** key of the wait in the journal */
  step: string;
  since: Date;
  timeoutAt: Date | null;
}

/** A run to hold on to: to await its result, look at it, cancel or notify it. */
export interface RunHandle<P = unknown, R = unknown> {
  readonly runId: string;
  /** false when the run existed already; also for a handle made by `client.run` */
  readonly created: boolean;
  /**
   * The result, once the run has completed.
   * @throws RunFailedError, RunCancelledError; WorkflowError WF_RESULT_TIMEOUT (the run goes on), WF_RUN_NOT_FOUND
   */
  result(options?: { timeout?: Duration }): Promise<R>;
  /** @throws WorkflowError WF_RUN_NOT_FOUND */
  get(): Promise<Run<P, R>>;
  /** Ends the run as cancelled, at once or when it has undone what it did; one that has ended stays as it is. @throws WorkflowError WF_RUN_NOT_FOUND */
  cancel(): Promise<void>;
  /** Sends it an event, kept until it waits for it or ends. @throws WorkflowError WF_RUN_NOT_FOUND */
  notify<T>(event: EventRef<T>, data: NoInfer<T>): Promise<NotifyResult>;
}
