import { Injectable, Logger } from '@nestjs/common';
import { takeoversFor } from '../engine/version.js';
import { Clock, RunStore } from '../ports/index.js';
import { WorkflowRegistry } from '../registry/index.js';
import { Leases } from './leases.js';
import { Signals } from './signals.js';

/** How often it is looked for runs of versions that no process serves. */
const LOOK_MS = 30_000;

/** Moves runs of versions that no process serves any more to a version of this process that takes them over; names the others. */
@Injectable()
export class Takeovers {
  readonly #logger = new Logger('Workflow');
  #lookedAt = -Infinity;
  #known: ReadonlySet<string> = new Set();
  #stop: () => void = () => {};

  constructor(
    private readonly store: RunStore,
    private readonly registry: WorkflowRegistry,
    private readonly leases: Leases,
    private readonly signals: Signals,
    private readonly clock: Clock,
  ) {}

  /** Begins to look, in the rounds of the heartbeat: the first time soon, so that a deploy does not wait for long. */
  start(): void {
    this.#stop();
    this.#stop = this.leases.inRounds(() => this.#lookAgain());
  }

  stop(): void {
    this.#stop();
  }

  /** Looks now. Returns how many runs were moved. */
  async look(): Promise<number> {
    let moved = 0;
    // again after a move: runs that stood in the queue of another release may have come into one that nobody serves
    for (let batch = 1; batch > 0; moved += batch) batch = await this.#move();
    if (moved > 0) {
      this.#logger.log(`${moved} runs of versions that no process serves go on in those that take them over`);
      this.signals.announceDue();
    }
    return moved;
  }

  async #move(): Promise<number> {
    const unserved = await this.store.unserved();
    const moves = takeoversFor(unserved, this.registry.definitions());
    this.#name(unserved.filter((queue) => !moves.some((move) => move.queue === queue)));
    return moves.length === 0 ? 0 : this.store.takeOver(moves);
  }

  async #lookAgain(): Promise<boolean> {
    if (this.clock.elapsed() - this.#lookedAt < LOOK_MS) return false;
    this.#lookedAt = this.clock.elapsed();
    await this.look();
    return true;
  }

  /** Each once, for as long as it stays so. */
  #name(left: readonly string[]): void {
    for (const queue of left) {
      if (this.#known.has(queue)) continue;
      this.#logger.warn(
        `Runs wait for "${queue}", which no process serves: deploy that version again, or let another take it over (\`takesOver\` of @Workflow, client.resume)`,
      );
    }
    this.#known = new Set(left);
  }
}
