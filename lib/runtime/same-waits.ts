import type { Clock } from '../ports/index.js';

/** Many waits of one length, which mostly end before it: one timer for the oldest, instead of one for each. */
export class SameWaits {
  /** by when each of them began, which is the order in which they are late */
  readonly #lateAt = new Map<() => void, number>();
  #armed = false;

  constructor(
    private readonly clock: Clock,
    private readonly ms: number,
  ) {}

  /** Returns how to end it. @param onLate called when it was not ended within the time */
  begin(onLate: () => void): () => void {
    this.#lateAt.set(onLate, this.clock.elapsed() + this.ms);
    if (!this.#armed) this.#arm(this.ms);
    return () => this.#lateAt.delete(onLate);
  }

  #arm(ms: number): void {
    this.#armed = true;
    this.clock.after(ms, () => {
      this.#armed = false;
      this.#look();
    });
  }

  #look(): void {
    const now = this.clock.elapsed();
    for (const [onLate, at] of this.#lateAt) {
      if (at > now) return this.#arm(at - now);
      this.#lateAt.delete(onLate);
      onLate();
    }
  }
}
