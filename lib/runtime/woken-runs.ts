import { Injectable, Optional } from '@nestjs/common';
import { Probe, type OwnedRun, type Taker } from '../ports/index.js';
import { Capacity } from './capacity.js';
import { READ_ROWS } from './config.js';
import { Leases } from './leases.js';

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

  /**
   * Sends a statement that wakes runs, with so many places kept for them, and starts on what it has leased. Null for a taker: there
   * is no place, and what is woken is found by a claim, of this process or another.
   */
  async during<R extends { readonly owned?: readonly OwnedRun[] }>(
    places: number,
    statement: (taker: Taker | null) => Promise<R>,
  ): Promise<R> {
    const kept = this.leases.inDoubt ? null : this.capacity.keep(places);
    if (!kept) return statement(null);
    const { worker, queues } = kept;
    const { life } = this.leases;
    let woken: R;
    try {
      woken = await statement({ worker, queues, places: kept.places, readRows: READ_ROWS });
    } catch (error) {
      this.capacity.giveBack(kept.places);
      throw error;
    }
    await this.#start(kept.places, life, woken.owned ?? []);
    return woken;
  }

  /** Presumed dead since the statement was sent, this process does not know what became of what was read. */
  async #start(places: number, life: number, owned: readonly OwnedRun[]): Promise<void> {
    for (const { task } of owned) this.leases.hold(task, task.execution);
    if (this.probe && owned.length > 0) await this.probe.at('woken', { runId: owned[0]!.task.runId });
    for (const { task, loaded } of owned)
      this.capacity.start(task, life === this.leases.life ? loaded : null);
    const left = places - owned.length;
    if (left > 0) this.capacity.giveBack(left);
  }
}
