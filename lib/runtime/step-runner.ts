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

  constructor(
    header: RunHeader,
    key: string,
    readonly attempt: number,
    readonly signal: AbortSignal,
  ) {
    super();
    this.runId = header.runId;
    this.workflow = header.workflow;
    this.labels = header.labels;
    this.step = key;
    this.idempotencyKey = idempotencyKey(header, key);
  }
}

/** The execution's id tells a restarted run from the one before it: their steps are not the same step. */
export const idempotencyKey = (header: RunHeader, key: string): string =>
  `${header.runId}/${header.execution}/${key}`;

/** Executes the code of steps, with their time limit, and can abort what executes for a run. */
@Injectable()
export class StepRunner {
  readonly #executing = new Set<{
    readonly execution: string;
    readonly lease: Lease;
    readonly controller: AbortController;
  }>();

  constructor(private readonly clock: Clock) {}

  /** Never throws: what the step throws is an outcome. */
  async run(
    session: RunSession,
    ask: Ask,
    attempt: number,
    header: RunHeader,
    lease: Lease,
  ): Promise<StepEnd> {
    const { execute, timeoutMs } = ask.request;
    const controller = new AbortController();
    const aborted = new Promise<'abandoned'>((resolve) => {
      controller.signal.addEventListener('abort', () => resolve('abandoned'), { once: true });
    });
    const step = new ExecutingStep(header, ask.key, attempt, controller.signal);
    const entry = { execution: header.execution, lease, controller };
    this.#executing.add(entry);
    let callOff = (): void => {};
    const timedOut = new Promise<Outcome>((resolve) => {
      if (timeoutMs == null) return;
      callOff = this.clock.after(timeoutMs, () => {
        const error = new StepTimeoutError(ask.key, timeoutMs);
        resolve({ ok: false, error });
        controller.abort(error);
      });
    });
    const work = runScope.run({ session, step }, () => settle(() => execute!(step)));
    try {
      return await Promise.race([work, timedOut, aborted]);
    } finally {
      callOff();
      this.#executing.delete(entry);
    }
  }

  /** Fires the signals of everything that executes for this run here; its outcomes no longer count. */
  abort(execution: string, reason: Error): void {
    for (const one of this.#executing) if (one.execution === execution) one.controller.abort(reason);
  }

  /** Fires the signal of what executes under this lease, and of nothing else of its run. */
  abortLease({ taskId, fence }: Lease, reason: Error): void {
    for (const { lease, controller } of this.#executing) {
      if (lease.taskId === taskId && lease.fence === fence) controller.abort(reason);
    }
  }

  abortAll(reason: Error): void {
    for (const { controller } of this.#executing) controller.abort(reason);
  }
}

async function settle(work: () => unknown): Promise<Outcome> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    return { ok: false, error };
  }
}
