/** The public API, every name written out. */
export {
  currentStep,
  defineEvent,
  FailureContext,
  OnFailure,
  Schedule,
  Step,
  StepContext,
  VerifyWebhook,
  Workflow,
  WorkflowContext,
  type Args,
  type CallOptions,
  type EventRef,
  type EventResult,
  type EventToken,
  type InvokeOptions,
  type KeyedStepOptions,
  type NotifyOptions,
  type NotifyResult,
  type PayloadOf,
  type PollOptions,
  type PollResult,
  type ResultOf,
  type RunInfo,
  type ScheduleOptions,
  type SchedulePolicy,
  type ScheduleSlot,
  type ScheduleTimes,
  type StepOptions,
  type Stored,
  type TriggerOptions,
  type Webhook,
  type WebhookCall,
  type WebhookMethod,
  type WebhookOptions,
  type WebhookRequest,
  type WorkflowHandler,
  type WorkflowOptions,
} from './authoring/index.js';
export {
  WorkflowClient,
  WorkflowFlowControls,
  WorkflowSchedules,
  type FlowControlInfo,
  type FlowControlQuery,
  type ClientNotifyOptions,
  type ClientTriggerOptions,
  type CreateSchedule,
  type JournalEntry,
  type ListQuery,
  type Run,
  type RunError,
  type RunHandle,
  type RunPage,
  type RunQuery,
  type ScheduleInfo,
  type SchedulePage,
  type ScheduleQuery,
  type TriggerItem,
  type Waiter,
} from './client/index.js';
export {
  CallError,
  type CallErrorCode,
  type CallErrorData,
  type CallErrorOptions,
  type CallOutcome,
  type CallRequest,
  type CallResponse,
  type StoredBody,
} from './engine/call.js';
export type { Duration } from './engine/duration.js';
export {
  ChildFailedError,
  NonDeterminismError,
  NonRetryableError,
  RetryAfterError,
  RunCancelledError,
  RunFailedError,
  StepFailedError,
  StepTimeoutError,
  type FailureSummary,
} from './engine/errors.js';
export type { FlowControl, FlowLimits, KeyedFlowControl } from './engine/flow-control.js';
export type { KeyedSingleton, Singleton, SingletonPolicy } from './engine/singleton.js';
export type { Failure } from './engine/failure.js';
export type { StepKind } from './engine/journal.js';
export type { RetryDelayFunction, RetryDelayText } from './engine/retry-delay.js';
export type { RetryOptions, RetryPolicy, StorableRetryOptions } from './engine/retry.js';
export type { CatchUp, Overlap } from './engine/schedule.js';
export { WORKFLOW_ERRORS, WorkflowError, type WorkflowErrorCode } from './errors/index.js';
export { CallPerformer, type RunStatus } from './ports/index.js';
export { WorkflowRegistry, type WorkflowDefinition } from './registry/index.js';
export { WorkflowScheduler } from './runtime/scheduler.js';
export {
  WORKFLOW_ENTITIES,
  WorkflowFlowControl,
  WorkflowFlowNote,
  WorkflowMessage,
  WorkflowRun,
  WorkflowSchedule,
  WorkflowStep,
  WorkflowTask,
  WorkflowWorker,
} from './typeorm/entities/index.js';
export { workflowMigrations } from './typeorm/migrations/index.js';
export type { WorkflowModuleAsyncOptions, WorkflowOptionsFactory } from './workflow.async-options.js';
export { WorkflowModule } from './workflow.module.js';
export type {
  WorkflowCallOptions,
  WorkflowDatabase,
  WorkflowHttpOptions,
  WorkflowModuleExtras,
  WorkflowModuleOptions,
  WorkflowWorkerOptions,
} from './workflow.options.js';
export { WORKFLOW_DATA_SOURCE } from './workflow.tokens.js';
