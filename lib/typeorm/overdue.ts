interface Waiting {
  handleError(error: Error): void;
}

/**
 * Fails statements that are not answered in time. One timer for all of them, which looks at the oldest now and then: a timer for each was one to
 * make and one to clear per step.
 */
export class Overdue {
  /** when each was sent, oldest first */
  readonly #sent = new Map<Waiting, number>();
  #isTimed = false;

  constructor(private readonly limitMs: number) {}

  add(one: Waiting): void {
    this.#sent.set(one, performance.now());
    if (!this.#isTimed) this.#lookIn(this.limitMs);
  }

  delete(one: Waiting): void {
    this.#sent.delete(one);
  }

  #lookIn(ms: number): void {
    this.#isTimed = true;
    setTimeout(() => this.#look(), ms).unref();
  }

  #look(): void {
    this.#isTimed = false;
    const since = performance.now() - this.limitMs;
    for (const [one, at] of this.#sent) {
      if (at > since) {
        this.#lookIn(at - since);
        return;
      }
      this.#sent.delete(one);
      one.handleError(new Error('Query read timeout'));
    }
  }
}
