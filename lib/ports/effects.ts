import type { EntityManager } from 'typeorm';
import type { InvokeOptions, NotifyOptions, NotifyResult, TriggerOptions } from '../engine/run-options.js';
import type { Instant, StartedChild } from '../engine/replay.js';
import type { EndedRun, NotifyRequest, TriggerRow, Triggered } from './store.js';

/** Who invokes a child run. */
export interface Invoker {
  /** idempotency key of the step: the child's ids come from it */
  readonly idempotencyKey: string;
  readonly execution: string;
  /** key of the step in the journal */
  readonly key: string;
  readonly depth: number;
}

/**
 * What `run` may do beyond itself. On other runs: `ctx.trigger`, `ctx.notify` and `ctx.invoke`, idempotent by key. And a webhook of
 * its own, which is there with the row that keeps it.
 */
export abstract class RunEffects {
  abstract trigger(
    key: string,
    workflow: unknown,
    payload: unknown,
    options?: TriggerOptions,
  ): Promise<{ runId: string }>;
  abstract notify(key: string, event: string, data: unknown, options?: NotifyOptions): Promise<NotifyResult>;
  /** Starts a child run, whose end answers the step of its parent. */
  abstract invoke(
    by: Invoker,
    workflow: unknown,
    payload: unknown,
    options?: InvokeOptions,
  ): Promise<StartedChild>;
  /** A new webhook, with a token that nobody guesses. @throws WorkflowError WF_NO_PUBLIC_URL */
  abstract newWebhook(
    workflow: { readonly name: string; readonly version: string | null },
    name: string,
    methods: readonly string[],
  ): Instant;
}

/** Where new work and news enter the runtime of this process. */
export abstract class RunIntake {
  /** Inserts a run by group commit and, when this process serves the workflow and has capacity, starts it without a claim. */
  abstract trigger(row: Omit<TriggerRow, 'owner'>): Promise<Triggered>;
  /** All or none, in one statement; see `RunStore.triggerAll`. With a manager: in the caller's transaction, found after its commit. */
  abstract triggerMany(
    rows: readonly Omit<TriggerRow, 'owner'>[],
    manager?: EntityManager,
  ): Promise<(Triggered | null)[]>;
  /** Sends an event; a run that it wakes starts here at once when this process serves it and has capacity. */
  abstract notify(request: NotifyRequest): Promise<NotifyResult>;
  /** Sends an idempotent statement again, unchanged, for as long as the database does not answer. */
  abstract repeat<R>(statement: () => Promise<R>): Promise<R>;
  /** Calls back once the caller's transaction is over (nobody announces its commit); at once without one. */
  abstract afterCommit(manager: EntityManager | undefined, work: () => void): void;
  /** Something is due: workers here and elsewhere look at once. */
  abstract announceDue(): void;
  /** Runs have ended: those who await a result here and elsewhere look at once. */
  abstract announceEnded(): void;
  /** A schedule has another next time: workers here and elsewhere look at once. */
  abstract announceSchedules(): void;
  /** Called when runs may have ended, here or elsewhere; with how, for one that has ended here. Returns how to stop listening. */
  abstract onEnded(listener: (run?: EndedRun) => void): () => void;
  /** True while this process advances the run: `onEnded` tells how it ends, unless the process loses it. */
  abstract isUnderWay(runId: string): boolean;
  /** These executions have ended from outside: what executes for them here is aborted. */
  abstract abort(executions: readonly string[]): void;
  /** Runs have ended that may owe something: parents to be told, children to be cancelled. */
  abstract settle(): void;
}
