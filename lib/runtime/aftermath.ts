import { Injectable, Logger } from '@nestjs/common';
import { RunStore } from '../ports/index.js';
import { Leases } from './leases.js';
import { Signals } from './signals.js';
import { StepRunner } from './step-runner.js';

/**
 * Pays what is owed after runs have ended: parents hear of their children, children of cancelled runs are cancelled, singleton keys
 * go to those who wait for them. Called
 * right after an end that owes something; what a process leaves undone when it dies, the rounds of the others find.
 */
@Injectable()
export class Aftermath {
  readonly #logger = new Logger('Workflow');
  #running: Promise<void> | undefined;
  #again = false;
  #free = new Set<string>();

  constructor(
    private readonly store: RunStore,
    private readonly steps: StepRunner,
    private readonly signals: Signals,
    private readonly leases: Leases,
  ) {
    leases.onOwed = () => this.settle();
  }

  /** A run that held this singleton key has ended. */
  handOver(key: string): void {
    this.#free.add(key);
    this.#begin();
  }

  /** One pass at a time; what is owed since it began gets another. */
  settle(): void {
    this.#again = true;
    this.#begin();
  }

  #begin(): void {
    this.#running ??= this.#passes().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when no pass is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #passes(): Promise<void> {
    while (this.#again || this.#free.size > 0) {
      const all = this.#again;
      const keys = all ? null : [...this.#free];
      this.#again = false;
      this.#free = new Set();
      try {
        if ((await this.store.handOver(keys)) > 0) this.signals.announceDue();
        if (!all) continue;
        const { reported, cancelled } = await this.store.settle();
        for (const execution of cancelled) {
          this.leases.suspect(execution);
          this.steps.abort(execution, new Error('The run was cancelled'));
        }
        if (reported > 0) this.signals.announceDue();
        if (cancelled.length > 0) this.signals.announceEnded();
      } catch (error) {
        // the marks are still there: the next round finds them
        this.#logger.warn(`Telling of ended runs failed, trying on: ${(error as Error).message}`);
      }
    }
  }
}
