import type { LoggerService, Type } from '@nestjs/common';
import type { CallResponse } from '../engine/call.js';
import type { Duration } from '../engine/duration.js';
import type { KeyedFlowControl } from '../engine/flow-control.js';
import type { RetryOptions } from '../engine/retry.js';
import type { Failure } from '../engine/failure.js';
import type { InvokeOptions, NotifyOptions, NotifyResult, TriggerOptions } from '../engine/run-options.js';
import type { CallOptions } from './call.js';
import type { EventRef, EventResult } from './event.js';
import type { Args, PayloadOf, ResultOf, WorkflowHandler } from './types.js';
import type { Webhook, WebhookCall, WebhookMethod } from './webhook.js';

export type { InvokeOptions, NotifyOptions, NotifyResult, TriggerOptions };

/** Options of `ctx.createWebhook`. */
export interface WebhookOptions {
  /** methods that count as a call; GET only on purpose: mail scanners and link previews follow links @default POST, PUT, PATCH */
  methods?: readonly WebhookMethod[];
}

/** Options of one step. The workflow's `stepDefaults` and the module's `steps` fill what is left out. */
export interface StepOptions extends RetryOptions {
  /** name of the step in the journal @default `Class.method` */
  name?: string;
  /** limit of one attempt; then its `signal` fires and the attempt has failed @default none */
  timeout?: Duration;
  /**
   * Limits for all steps with this key, in place of those of the run. Such a step is always a task of its own, and each attempt
   * of it waits in line. A key that is a function is called with the arguments of the step (those of `ctx.run` have none).
   */
  flowControl?: KeyedFlowControl;
}

/** Options of `ctx.poll`. The time limit of one look is that of `stepDefaults` or of the module's `steps`. */
export interface PollOptions extends RetryOptions {
  /** how often to look, counted from the first look; a turn that passes during a look is left out */
  every: Duration;
  /** how long to look, counted from the first look */
  timeout: Duration;
}

/** What `ctx.poll` gives. */
export type PollResult<R> = { timedOut: false; value: R } | { timedOut: true; value: undefined };

/** Which run this is. */
export interface RunInfo {
  readonly runId: string;
  readonly workflow: string;
  readonly labels: readonly string[];
  /** from 1; of the run in a WorkflowContext, of the step in a StepContext, where it counts the looks of a poll */
  readonly attempt: number;
}

/** What a workflow's `run` receives. The name comes first in every durable call: it is the call's key in the journal. */
export abstract class WorkflowContext<P = unknown> implements RunInfo {
  abstract readonly runId: string;
  abstract readonly workflow: string;
  abstract readonly labels: readonly string[];
  abstract readonly attempt: number;
  abstract readonly payload: P;
  /** Silent while the code is replayed: each line is logged once, but for crashes. */
  abstract readonly logger: LoggerService;

  /** Executes `fn` as a step: once its result is journaled it is never executed again. */
  abstract run<R>(name: string, fn: (step: StepContext) => Promise<R> | R, options?: StepOptions): Promise<R>;
  /** Nothing runs meanwhile; survives any restart. */
  abstract sleep(name: string, duration: Duration): Promise<void>;
  abstract sleepUntil(name: string, at: Date): Promise<void>;
  /** Waits until somebody calls `notify` with this event; without a timeout, for ever. */
  abstract waitForEvent<T = unknown>(name: string, event: EventRef<T>): Promise<{ timedOut: false; data: T }>;
  abstract waitForEvent<T = unknown>(
    name: string,
    event: EventRef<T>,
    options: { timeout: Duration },
  ): Promise<EventResult<T>>;
  /**
   * Executes `fn` as a step, at once and then every `every`, until it gives something other than undefined, or until `timeout`
   * has passed since it was asked; the last look is taken then. One journal row, and nothing is held between two looks.
   * An error of `fn` is a look that failed: it is repeated by the retry options, which count failures in a row.
   * @throws StepFailedError when more than `retries` looks in a row have failed
   */
  abstract poll<R>(
    name: string,
    fn: (step: StepContext) => Promise<R | undefined>,
    options: PollOptions,
  ): Promise<PollResult<R>>;
  /** Sends an event, once, as a step. */
  abstract notify<T>(
    name: string,
    event: EventRef<T>,
    data: NoInfer<T>,
    options?: NotifyOptions,
  ): Promise<NotifyResult>;
  /** Starts another run, once, as a step, and does not wait for it. */
  abstract trigger<W extends WorkflowHandler<any, any>>(
    name: string,
    workflow: Type<W>,
    ...args: Args<PayloadOf<W>, TriggerOptions>
  ): Promise<{ runId: string }>;
  /**
   * Starts a child run and waits for its result, which holds nothing meanwhile. At most 32 generations deep.
   * @throws ChildFailedError when the child has failed or was cancelled; StepFailedError when it could not be started (a `runId`
   * that exists, a payload that cannot be stored, a workflow that is not known here)
   */
  abstract invoke<W extends WorkflowHandler<any, any>>(
    name: string,
    workflow: Type<W>,
    ...args: Args<PayloadOf<W>, InvokeOptions>
  ): Promise<ResultOf<W>>;
  /**
   * Calls an HTTP API. The engine makes the request, in a task of its own: meanwhile no process holds the run, for up to 12
   * hours. It is made at least once, again after a failure of the connection or a crash, with the same `idempotency-key`. Any
   * status is a value, unless `throwOnError`.
   */
  abstract call<B = unknown>(name: string, request: CallOptions): Promise<CallResponse<B>>;
  /**
   * A URL that anybody who knows it can call, until this run has ended. Calls are kept from now on, in their order.
   * @throws StepFailedError whose `failure.code` is WF_NO_PUBLIC_URL when `http.publicUrl` is not set
   */
  abstract createWebhook(name: string, options?: WebhookOptions): Promise<Webhook>;
  /** Waits for the next call of a webhook that no wait was given before; without a timeout, for ever. */
  abstract waitForWebhook<B = unknown>(
    name: string,
    hook: Webhook,
  ): Promise<{ timedOut: false; data: WebhookCall<B> }>;
  abstract waitForWebhook<B = unknown>(
    name: string,
    hook: Webhook,
    options: { timeout?: Duration },
  ): Promise<EventResult<WebhookCall<B>>>;
  /**
   * Registers what undoes something: when the run fails for good or is cancelled, all that was registered until then is
   * executed, the last first, each as a step of its own with retries; then @OnFailure (of a failed run). One that fails for
   * good is logged and does not stop the others. A step that is executing at the moment of a cancel may have had its effect
   * although nothing that comes after it was registered: register before such a step, and let `fn` bear that there is nothing
   * to undo.
   */
  abstract onRollback(
    name: string,
    fn: (step: StepContext) => Promise<void> | void,
    options?: StepOptions,
  ): void;
  /**
   * Ends this execution and goes on as a new one of the same run: same `runId`, labels and parent, an empty journal, this
   * payload. For loops without end, whose journal would grow without end. Events that were not taken yet go along; open
   * steps and children do not, and what was registered with `onRollback` is done with. Never returns.
   */
  abstract continueAsNew(payload: P): Promise<never>;
  /** Ends this run as cancelled; never returns. */
  abstract cancel(): Promise<never>;

  /**
   * For code that changes under runs in flight: true where this run may go the new way, false where it has gone the old way
   * before. The same in each replay: a run that comes here for the first time with this code is marked in its journal.
   * `if (ctx.patched('ask-twice')) await this.askTwice(); else await this.ask();` See docs/changing-workflows.md.
   */
  abstract patched(id: string): boolean;
  /** Time of the last journal entry the code has seen: the same in every replay. */
  abstract now(): Date;
  /** Deterministic: from the run and a counter. In [0, 1). */
  abstract random(): number;
  abstract uuid(): string;
}

/** What the method marked @OnFailure receives: durable calls work as in `run`. */
export abstract class FailureContext<P = unknown> extends WorkflowContext<P> {
  /** what `run` has failed with */
  abstract readonly error: Failure;
  /** key of the step whose failure ended the run */
  abstract readonly failedStep: string | undefined;
}

/** Inside a step: the argument of `ctx.run`, or `currentStep()` in any provider. */
export abstract class StepContext implements RunInfo {
  abstract readonly runId: string;
  abstract readonly workflow: string;
  abstract readonly labels: readonly string[];
  abstract readonly attempt: number;
  /** key of the step in the journal */
  abstract readonly step: string;
  /** the same for every attempt of this step: give it to services that deduplicate */
  abstract readonly idempotencyKey: string;
  /** fires on timeout, cancel, a lost lease and shutdown */
  abstract readonly signal: AbortSignal;
}
