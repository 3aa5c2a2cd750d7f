import { Inject, Injectable } from '@nestjs/common';
import type { Activation } from './activation.js';
import { RuntimeConfig } from './config.js';

/**
 * Activations kept between deliveries, by run id, least recently used out first. An activation is taken out of "free" while
 * a delivery advances it, so that two deliveries never share its code; step tasks may look their call up in it meanwhile.
 */
@Injectable()
export class ActivationCache {
  readonly #known = new Map<string, { activation: Activation; free: boolean }>();
  readonly #building = new Map<string, Promise<Activation>>();

  constructor(@Inject(RuntimeConfig) private readonly config: RuntimeConfig) {}

  /** The parked activation, for this delivery alone. */
  take(runId: string): Activation | undefined {
    const known = this.#known.get(runId);
    if (!known?.free) return undefined;
    known.free = false;
    return known.activation;
  }

  peek(runId: string): Activation | undefined {
    return this.#known.get(runId)?.activation;
  }

  /** Keeps it for the next delivery; where another one is at work on the run, or none are kept, only this delivery has it. */
  park(runId: string, activation: Activation): void {
    const known = this.#known.get(runId);
    if (known && known.activation !== activation && !known.free) return;
    if (this.config.parkLimit === 0) return activation.close();
    if (known && known.activation !== activation) known.activation.discard();
    activation.park();
    this.#known.delete(runId);
    this.#known.set(runId, { activation, free: true });
    this.#trim();
  }

  /** Forgets it: what it still asks concerns nobody. */
  drop(runId: string, activation: Activation): void {
    if (this.peek(runId) === activation) this.#known.delete(runId);
    activation.discard();
  }

  #trim(): void {
    for (const [runId, { activation, free }] of this.#known) {
      if (this.#known.size <= this.config.parkLimit) return;
      if (!free) continue;
      this.#known.delete(runId);
      activation.close();
    }
  }

  /** One replay for many step deliveries of a run that arrive together. */
  build(runId: string, make: () => Promise<Activation>): Promise<Activation> {
    const building = this.#building.get(runId);
    if (building) return building;
    const made = make().finally(() => this.#building.delete(runId));
    this.#building.set(runId, made);
    return made;
  }

  clear(): void {
    for (const [runId, { activation }] of this.#known) this.drop(runId, activation);
  }
}
