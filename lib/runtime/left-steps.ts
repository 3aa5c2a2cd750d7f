import { Injectable, Logger } from '@nestjs/common';
import { pendingRow } from '../engine/plan.js';
import { Clock, RunStore, type Lease, type RunHeader } from '../ports/index.js';
import { JournalWriter } from './journal-writer.js';
import { Leases } from './leases.js';
import type { SideStep } from './side-steps.js';
import { StepAnswers } from './step-answers.js';
import { StepRunner } from './step-runner.js';

/**
 * Steps that were left executing when the activation in which they had begun was suspended, for a wait or a retry beside them. The
 * commit that suspended it has inserted their tasks, leased to this process: as if they had been claimed. From here on they
 * are answered as any step that has a task.
 */
@Injectable()
export class LeftSteps {
  readonly #logger = new Logger('Workflow');

  constructor(
    private readonly store: RunStore,
    private readonly writer: JournalWriter,
    private readonly leases: Leases,
    private readonly steps: StepRunner,
    private readonly answers: StepAnswers,
    private readonly clock: Clock,
  ) {}

  /**
   * Resolves when all of them have ended and are answered. Never rejects: what is not answered is executed again, after its lease.
   * @param life in which the run was advanced
   */
  async finish(left: readonly SideStep[], header: RunHeader, now: number, life: number): Promise<void> {
    const started = this.clock.sqlElapsed();
    const leases = await this.#leasesOf(header.execution);
    const all = left.map((step) =>
      this.#finish(step, header, leases.get(step.ask.key), life, { now, started }),
    );
    await Promise.all(all);
  }

  async #finish(
    { ask, end, startedAt }: SideStep,
    header: RunHeader,
    lease: Lease | undefined,
    life: number,
    at: { readonly now: number; readonly started: number },
  ): Promise<void> {
    const { execution, runId } = header;
    if (!lease) return this.steps.abandon(execution, ask.key, new Error('The lease of this task was lost'));
    this.steps.move(execution, ask.key, lease);
    this.leases.executing(lease, execution, life);
    try {
      const outcome = await end;
      if (outcome === 'abandoned') return;
      // when it began, by the same clocks
      const started = at.started - (at.now - startedAt);
      const before = pendingRow(ask, startedAt);
      await this.answers.give({ lease, header, ask, before, attempt: 1, startedAt, started }, outcome);
    } catch (error) {
      this.#logger.warn(`Step "${ask.key}" of run ${runId} was not answered: ${(error as Error).message}`);
      await this.store.release([lease], 0).catch(() => {});
    } finally {
      this.leases.executed(lease);
    }
  }

  async #leasesOf(execution: string): Promise<Map<string, Lease>> {
    const { worker } = this.leases;
    const found = await this.writer.repeat(() => this.store.leased(execution, worker)).catch(() => []);
    return new Map(found.map((one) => [one.key, one]));
  }
}
