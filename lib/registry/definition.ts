import type { Type } from '@nestjs/common';
import type { ScheduleRules, StepOptions, WebhookVerifiers, WorkflowHandler } from '../authoring/index.js';
import type { KeyedFlowControl } from '../engine/flow-control.js';
import type { RetryPolicy } from '../engine/retry.js';
import type { KeyedSingleton } from '../engine/singleton.js';

/** A schedule that stands on a workflow class. */
export interface ScheduleDefinition extends ScheduleRules {
  readonly id: string;
  readonly workflow: string;
  /** as it was given: a value, or a function that makes one of a time */
  readonly payload: unknown;
}

/** A workflow that this process serves. */
export interface WorkflowDefinition {
  readonly name: string;
  readonly version: string | null;
  /** versions whose runs go on in this one once no process serves theirs */
  readonly takesOver: readonly (string | null)[];
  readonly type: Type<WorkflowHandler<any, any>>;
  /** of errors of `run` itself */
  readonly retry: RetryPolicy;
  readonly stepDefaults: StepOptions;
  readonly timeoutMs: number | null;
  readonly onFailure: string | null;
  readonly schedules: readonly ScheduleDefinition[];
  /** methods that check who calls a webhook */
  readonly verifiers: WebhookVerifiers;
  /** of its runs, unless a trigger says otherwise */
  readonly flowControl?: KeyedFlowControl | undefined;
  readonly singleton?: KeyedSingleton | undefined;
  /** the provider; a new one for each activation when it is request-scoped */
  instance(runId: string): WorkflowHandler<any, any> | Promise<WorkflowHandler<any, any>>;
}
