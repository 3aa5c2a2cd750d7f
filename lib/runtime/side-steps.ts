import { LazyMap } from '../engine/lazy.js';
import type { Beside } from '../engine/plan.js';
import type { Ask } from '../engine/replay.js';
import type { Clock, Lease, RunHeader } from '../ports/index.js';
import type { ActivationSession } from './activation-session.js';
import { awaken } from './awaken.js';
import type { Capacity } from './capacity.js';
import { turn, type RunningCode } from './running-code.js';
import type { StepEnd, StepRunner } from './step-runner.js';

/** So long a step waits for a place in this process; then it becomes a task, for any process that has one. */
const PATIENCE_MS = 50;

const NONE: readonly EndedSideStep[] = [];

/** A step that executes, or has executed, beside others. */
export interface SideStep {
  readonly ask: Ask;
  /** ms of the database's clock */
  readonly startedAt: number;
  readonly end: Promise<StepEnd>;
}

interface Executing extends SideStep {
  outcome?: StepEnd;
}

export interface EndedSideStep extends SideStep {
  readonly outcome: StepEnd;
}

export interface SideStepsDependencies {
  readonly steps: StepRunner;
  readonly capacity: Capacity;
  readonly clock: Clock;
}

/**
 * The steps that execute beside each other in one activation, under the lease of its run: a fan-out that costs no task, no claim and
 * no load of its own, and whose results are journaled together. Each of them takes a place of this process, as a task does; one
 * has that of the run itself.
 */
export class SideSteps implements Beside {
  /** also those that have ended, until they are taken: until then nothing of them is in the journal, and they must not be started again */
  readonly #steps = new LazyMap<string, Executing>();
  /** those of them that execute */
  #running = 0;
  /** places taken beyond that of the run */
  #places = 0;
  #waitsSince: number | undefined;
  #wake = (): void => {};

  constructor(
    private readonly on: SideStepsDependencies,
    private readonly code: Pick<RunningCode, 'onActivity'>,
  ) {}

  executes(key: string): boolean {
    return this.#steps.has(key);
  }

  get places(): number {
    return this.on.capacity.free + (this.#running === 0 ? 1 : 0);
  }

  get mayWait(): boolean {
    return this.#waitsSince === undefined || this.on.clock.elapsed() - this.#waitsSince < PATIENCE_MS;
  }

  start(ask: Ask, session: ActivationSession, header: RunHeader, lease: Lease, startedAt: number): void {
    const end = this.on.steps.run(session, ask, 1, header, lease);
    const one: Executing = { ask, startedAt, end };
    // patience is for each fan-out anew
    if (this.#steps.size === 0) this.#waitsSince = undefined;
    this.#steps.set(ask.key, one);
    this.#run(1);
    void end.then((outcome) => {
      one.outcome = outcome;
      // abandoned, or left to a task of its own: it concerns nobody here
      if (this.#steps.get(ask.key) !== one) return;
      this.#run(-1);
      this.#wake();
    });
  }

  /** Those that have ended and were not taken yet. */
  take(): readonly EndedSideStep[] {
    // the case of every step that is alone
    if (this.#steps.size === 0) return NONE;
    const ended: EndedSideStep[] = [];
    for (const [key, { ask, startedAt, end, outcome }] of this.#steps.entries()) {
      if (outcome === undefined) continue;
      this.#steps.delete(key);
      ended.push({ ask, startedAt, end, outcome });
    }
    return ended;
  }

  /**
   * Resolves when one has ended, or the code has done something on its own, or after so many ms, or when those without a place (`waiting`
   * of them) have waited long enough.
   */
  async next(waiting: number, withinMs: number): Promise<void> {
    const now = this.on.clock.elapsed();
    this.#waitsSince = waiting > 0 ? (this.#waitsSince ?? now) : undefined;
    if (this.#running === this.#steps.size) {
      const patience = waiting > 0 ? this.#waitsSince! + PATIENCE_MS - now : Infinity;
      await awaken(this.on.clock, this.code, Math.min(withinMs, patience), (wake) => (this.#wake = wake));
      this.#wake = () => {};
    }
    // all that ends in the same turn is journaled together
    await turn();
  }

  /** Their run goes on without them: their signals fire, and what they come to is forgotten. */
  abandon(lease: Lease): void {
    if (this.#steps.size === 0) return;
    this.#forget();
    this.on.steps.abortLease(lease, new Error('The run goes on without this step'));
  }

  /** They have tasks of their own from now on, and take their places along. */
  leave(): readonly SideStep[] {
    const left = [...this.#steps.values()];
    const running = left.filter(({ outcome }) => outcome === undefined);
    this.#forget();
    this.on.capacity.take(running.length);
    for (const { end } of running) void end.then(() => this.on.capacity.giveBack());
    return left;
  }

  #forget(): void {
    this.#steps.clear();
    this.#run(-this.#running);
  }

  #run(more: number): void {
    this.#running += more;
    const places = Math.max(0, this.#running - 1);
    const change = places - this.#places;
    this.#places = places;
    if (change > 0) this.on.capacity.take(change);
    else if (change < 0) this.on.capacity.giveBack(-change);
  }
}
