import { Injectable, Optional } from '@nestjs/common';
import { Probe, type OwnedRun, type Taker } from '../ports/index.js';
import { Capacity } from './capacity.js';
import { READ_ROWS } from './config.js';
import { Leases } from './leases.js';

/** Places that are kept for what a statement may wake and lease. */
export interface KeptPlaces {
  readonly taker: Taker;
  /** of this process, when the statement was sent */
  readonly life: number;
}

/**
 * Wake-and-own: where this process has places, what it wakes is leased to it by the statement that wakes it, and starts at once. No
 * claim follows, and nobody else need be told. What is leased by a statement whose reply is lost, the heartbeat gives back.
 */
@Injectable()
export class WokenRuns {
  constructor(
    private readonly capacity: Capacity,
    private readonly leases: Leases,
    @Optional() private readonly probe?: Probe,
  ) {}

  /** Null: what is woken is found by a claim, of this process or another. Otherwise `start` or `giveBack` has to follow. */
  keep(places: number): KeptPlaces | null {
    if (this.leases.inDoubt) return null;
    const kept = this.capacity.keep(places);
    return kept && { taker: { ...kept, readRows: READ_ROWS }, life: this.leases.life };
  }

  /** Starts on what was leased. Presumed dead meanwhile, this process does not know what became of what was read. */
  async start({ taker, life }: KeptPlaces, owned: readonly OwnedRun[]): Promise<void> {
    for (const { task } of owned) this.leases.hold(task, task.execution);
    if (this.probe && owned.length > 0) await this.probe.at('woken', { runId: owned[0]!.task.runId });
    for (const { task, loaded } of owned)
      this.capacity.start(task, life === this.leases.life ? loaded : null);
    const left = taker.places - owned.length;
    if (left > 0) this.capacity.giveBack(left);
  }

  giveBack({ taker }: KeptPlaces): void {
    this.capacity.giveBack(taker.places);
  }
}
