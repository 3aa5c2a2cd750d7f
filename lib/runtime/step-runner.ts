import { Injectable } from '@nestjs/common';
import { runScope, StepContext, type RunSession } from '../authoring/index.js';
import { StepTimeoutError } from '../engine/errors.js';
import type { Ask, Outcome } from '../engine/replay.js';
import { Clock, type Lease, type RunHeader } from '../ports/index.js';

/** What a step saw: its outcome, or nothing because its lease was lost and its outcome no longer counts. */
export type StepEnd = Outcome | 'abandoned';

class ExecutingStep extends StepContext {
  /** made when somebody asks for it: most steps do not, and it is the dearest object of a trivial one */
  #controller: AbortController | undefined;
  #fired: { readonly reason: Error } | undefined;

  constructor(
    private readonly header: RunHeader,
    readonly step: string,
    readonly attempt: number,
  ) {
    super();
  }

  get runId(): string {
    return this.header.runId;
  }
  get workflow(): string {
    return this.header.workflow;
  }
  get labels(): readonly string[] {
    return this.header.labels;
  }
  get idempotencyKey(): string {
    return idempotencyKey(this.header, this.step);
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#fired) this.#controller.abort(this.#fired.reason);
    }
    return this.#controller.signal;
  }

  fire(reason: Error): void {
    this.#fired ??= { reason };
    this.#controller?.abort(reason);
  }
}

/** The execution's id tells a restarted run from the one before it: their steps are not the same step. */
export const idempotencyKey = (header: RunHeader, key: string): string =>
  `${header.runId}/${header.execution}/${key}`;

interface Executing {
  readonly execution: string;
  lease: Lease;
  abort(reason: Error): void;
  /** undefined of what is watched */
  readonly step?: { readonly step: string };
}

/** One attempt while it executes. Ends once: by its outcome, its time limit, or because its lease is gone. */
class Attempt implements Executing {
  callOff: (() => void) | undefined;

  constructor(
    readonly execution: string,
    public lease: Lease,
    readonly step: ExecutingStep,
    private readonly executing: Set<Executing>,
    private readonly resolve: (end: StepEnd) => void,
  ) {
    executing.add(this);
  }

  end(outcome: StepEnd): void {
    this.callOff?.();
    this.executing.delete(this);
    this.resolve(outcome);
  }

  interrupt(outcome: StepEnd, reason: Error): void {
    this.end(outcome);
    this.step.fire(reason);
  }

  abort(reason: Error): void {
    this.interrupt('abandoned', reason);
  }

  settle(work: () => unknown): void {
    try {
      const value = work();
      if (!isThenable(value)) return this.end({ ok: true, value });
      Promise.resolve(value).then(
        (result) => this.end({ ok: true, value: result }),
        (error: unknown) => this.end({ ok: false, error }),
      );
    } catch (error) {
      this.end({ ok: false, error });
    }
  }
}

/** Executes the code of steps, with their time limit, and can abort what executes for a run. */
@Injectable()
export class StepRunner {
  readonly #executing = new Set<Executing>();

  /**
   * Whether what this lease is for may be started now. It was valid when the journal was read; in between this process may have
   * stood still (stopped, swapped out), and another one may have executed and journaled the step.
   */
  mayStart: (lease: Lease) => boolean = () => true;

  constructor(private readonly clock: Clock) {}

  /** Never throws: what the step throws is an outcome. */
  run(session: RunSession, ask: Ask, attempt: number, header: RunHeader, lease: Lease): Promise<StepEnd> {
    // one promise for the whole of it: on Node 20 each is dear while async hooks (the scope) are on
    return new Promise((resolve) => {
      if (!this.mayStart(lease)) return resolve('abandoned');
      const { execute, timeoutMs } = ask.request;
      const step = new ExecutingStep(header, ask.key, attempt);
      const one = new Attempt(header.execution, lease, step, this.#executing, resolve);
      if (timeoutMs != null) one.callOff = this.#limit(ask.key, timeoutMs, one);
      one.settle(() => runScope.run({ session, step }, () => execute!(step)));
    });
  }

  /** Calls back when what executes for this run, or under this lease, no longer counts; returns how to stop watching. */
  watch(execution: string, lease: Lease, abort: (reason: Error) => void): () => void {
    const entry: Executing = { execution, lease, abort };
    this.#executing.add(entry);
    return () => this.#executing.delete(entry);
  }

  /** Fires the signals of everything that executes for this run here; its outcomes no longer count. */
  abort(execution: string, reason: Error): void {
    for (const one of this.#executing) if (one.execution === execution) one.abort(reason);
  }

  /** Fires the signal of what executes under this lease, and of nothing else of its run. */
  abortLease({ taskId, fence }: Lease, reason: Error): void {
    for (const one of this.#executing)
      if (one.lease.taskId === taskId && one.lease.fence === fence) one.abort(reason);
  }

  /** The attempt of this step has a task of its own from now on: what becomes of the lease of the run concerns it no more. */
  move(execution: string, key: string, lease: Lease): void {
    for (const one of this.#executing)
      if (one.execution === execution && one.step?.step === key) one.lease = lease;
  }

  /** Fires the signal of the attempt of this step; its outcome no longer counts. */
  abandon(execution: string, key: string, reason: Error): void {
    for (const one of this.#executing)
      if (one.execution === execution && one.step?.step === key) one.abort(reason);
  }

  abortAll(reason: Error): void {
    for (const one of this.#executing) one.abort(reason);
  }

  #limit(key: string, timeoutMs: number, one: Attempt): () => void {
    return this.clock.after(timeoutMs, () => {
      const error = new StepTimeoutError(key, timeoutMs);
      one.interrupt({ ok: false, error }, error);
    });
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  value !== null &&
  (typeof value === 'object' || typeof value === 'function') &&
  typeof (value as { then?: unknown }).then === 'function';
