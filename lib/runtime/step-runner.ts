import { Injectable } from '@nestjs/common';
import { runScope, StepContext, type RunSession } from '../authoring/index.js';
import { StepTimeoutError } from '../engine/errors.js';
import type { Ask, Outcome } from '../engine/replay.js';
import { Clock, type Lease, type RunHeader } from '../ports/index.js';

/** What a step saw: its outcome, or nothing because its lease was lost and its outcome no longer counts. */
export type StepEnd = Outcome | 'abandoned';

class ExecutingStep extends StepContext {
  readonly runId: string;
  readonly workflow: string;
  readonly labels: readonly string[];
  readonly step: string;
  readonly idempotencyKey: string;
  /** made when somebody asks for it: most steps do not, and it is the dearest object of a trivial one */
  #controller: AbortController | undefined;
  #fired: { readonly reason: Error } | undefined;

  constructor(
    header: RunHeader,
    key: string,
    readonly attempt: number,
  ) {
    super();
    this.runId = header.runId;
    this.workflow = header.workflow;
    this.labels = header.labels;
    this.step = key;
    this.idempotencyKey = idempotencyKey(header, key);
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
  readonly lease: Lease;
  readonly abort: (reason: Error) => void;
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
  async run(
    session: RunSession,
    ask: Ask,
    attempt: number,
    header: RunHeader,
    lease: Lease,
  ): Promise<StepEnd> {
    if (!this.mayStart(lease)) return 'abandoned';
    const { execute, timeoutMs } = ask.request;
    const step = new ExecutingStep(header, ask.key, attempt);
    let interrupt: (end: StepEnd) => void;
    const interrupted = new Promise<StepEnd>((resolve) => {
      interrupt = resolve;
    });
    const end = (outcome: StepEnd, reason: Error): void => {
      interrupt(outcome);
      step.fire(reason);
    };
    const stopWatching = this.watch(header.execution, lease, (reason) => end('abandoned', reason));
    const callOff = timeoutMs == null ? undefined : this.#limit(ask.key, timeoutMs, end);
    const work = runScope.run({ session, step }, () => settle(() => execute!(step)));
    try {
      return await Promise.race([work, interrupted]);
    } finally {
      callOff?.();
      stopWatching();
    }
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
    for (const { lease, abort } of this.#executing) {
      if (lease.taskId === taskId && lease.fence === fence) abort(reason);
    }
  }

  abortAll(reason: Error): void {
    for (const { abort } of this.#executing) abort(reason);
  }

  #limit(key: string, timeoutMs: number, end: (outcome: StepEnd, reason: Error) => void): () => void {
    return this.clock.after(timeoutMs, () => {
      const error = new StepTimeoutError(key, timeoutMs);
      end({ ok: false, error }, error);
    });
  }
}

async function settle(work: () => unknown): Promise<Outcome> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    return { ok: false, error };
  }
}
