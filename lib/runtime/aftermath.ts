import { Injectable, Logger } from '@nestjs/common';
import { RunStore } from '../ports/index.js';
import { Leases } from './leases.js';
import { Signals } from './signals.js';
import { StepRunner } from './step-runner.js';
import { WokenRuns } from './woken-runs.js';

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
  /** children that have ended here since the last pass */
  #children = 0;
  /** children of which their parents know already */
  #known: string[] = [];

  constructor(
    private readonly store: RunStore,
    private readonly steps: StepRunner,
    private readonly signals: Signals,
    private readonly leases: Leases,
    private readonly woken: WokenRuns,
  ) {
    leases.onOwed = () => this.settle();
  }

  /** A run that held this singleton key has ended. */
  handOver(key: string): void {
    this.#free.add(key);
    this.#begin();
  }

  /** A child has ended: nothing else is done before its parent is told, which starts here if there is a place for it. */
  report(): void {
    this.#children++;
    this.#begin();
  }

  /** Their parents, which were here, have stored how they have ended. */
  reported(children: readonly string[]): void {
    this.#known.push(...children);
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
    while (this.#again || this.#free.size > 0 || this.#children > 0 || this.#known.length > 0) {
      try {
        if (this.#children > 0) await this.#report();
        else if (this.#again || this.#free.size > 0) await this.#pass();
        else await this.store.markReported(this.#known.splice(0));
      } catch (error) {
        // the marks are still there: the next round finds them
        this.#logger.warn(`Telling of ended runs failed, trying on: ${(error as Error).message}`);
      }
    }
  }

  async #report(): Promise<void> {
    // no more parents than children
    const places = this.#children;
    this.#children = 0;
    const { due } = await this.woken.during(places, (taker) => this.store.report(taker));
    if (due) this.signals.announceDue();
  }

  async #pass(): Promise<void> {
    const all = this.#again;
    const keys = all ? null : [...this.#free];
    this.#again = false;
    this.#free = new Set();
    if ((await this.store.handOver(keys)) > 0) this.signals.announceDue();
    if (!all) return;
    const { reported, cancelled } = await this.store.settle();
    for (const execution of cancelled) {
      this.leases.suspect(execution);
      this.steps.abort(execution, new Error('The run was cancelled'));
    }
    if (reported > 0) this.signals.announceDue();
    if (cancelled.length > 0) this.signals.announceEnded();
  }
}
