/**
 * A fixed number of places. Who waits for a connection waits here and not in undici, so that a delivery is signed when it
 * can leave: a signature made earlier would expire in the queue.
 */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Calls back when there is a place, now if there is one; whoever was called gives it back. */
  take(work: () => void): void {
    if (this.#free === 0) {
      this.#waiting.push(work);
      return;
    }
    this.#free -= 1;
    work();
  }

  giveBack(): void {
    const next = this.#waiting.shift();
    // given back while the answer is still being read: once that is done its connection is free for the next one
    if (next) queueMicrotask(next);
    else this.#free += 1;
  }
}
