import { AsyncLocalStorage } from 'node:async_hooks';
import type { LoggerService } from '@nestjs/common';
import type { KeyedFlowControl, ResolvedFlow } from '../engine/flow-control.js';
import type { Instant, Replay, Request, StartedChild } from '../engine/replay.js';
import type { RetryPolicy } from '../engine/retry.js';
import type { CallOptions } from './call.js';
import type {
  InvokeOptions,
  NotifyOptions,
  NotifyResult,
  RunInfo,
  StepContext,
  StepOptions,
  TriggerOptions,
} from './context.js';

/** What is to be done as a step when the run fails or is cancelled. */
export interface Rollback {
  readonly name: string;
  readonly work: (step: StepContext) => Promise<void> | void;
  readonly options: StepOptions | undefined;
}

/** What the runtime gives to the durable calls of one activation. */
export interface RunSession {
  readonly info: RunInfo;
  readonly payload: unknown;
  readonly logger: LoggerService;
  readonly replay: Replay;
  ask(request: Request): Promise<unknown>;
  policy(options: StepOptions | undefined): { retry: RetryPolicy; timeoutMs: number | null };
  /** of a step, from its own options and the defaults; empty without any */
  flow(own: KeyedFlowControl | undefined, of: string, args: readonly unknown[]): { flow?: ResolvedFlow };
  onRollback(rollback: Rollback): void;
  continueAsNew(payload: unknown): Promise<never>;
  patched(id: string): boolean;
  digest(args: readonly unknown[]): string | null;
  now(): Date;
  random(): number;
  uuid(): string;
  /** the text of a checked request of `ctx.call` */
  call(name: string, request: CallOptions): string;
  /** the two effects that are steps of the engine's own; `key` makes them idempotent */
  trigger(
    key: string,
    workflow: unknown,
    payload: unknown,
    options: TriggerOptions | undefined,
  ): Promise<{ runId: string }>;
  invoke(
    key: string,
    workflow: unknown,
    payload: unknown,
    options: InvokeOptions | undefined,
  ): Promise<StartedChild>;
  newWebhook(name: string, methods: readonly string[]): Instant;
  notify(
    key: string,
    event: string,
    data: unknown,
    options: NotifyOptions | undefined,
  ): Promise<NotifyResult>;
}

/** Where the calling code is: in `run` of an activation, or (with `step`) inside one of its steps. */
export interface RunScope {
  readonly session: RunSession;
  readonly step: StepContext | undefined;
}

export const runScope = new AsyncLocalStorage<RunScope>();
