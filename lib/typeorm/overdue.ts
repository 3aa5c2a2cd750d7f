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
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly limitMs: number) {}

  add(one: Waiting): void {
    this.#sent.set(one, performance.now());
    this.#timer ??= setTimeout(() => this.#look(), this.limitMs).unref();
  }

  delete(one: Waiting): void {
    this.#sent.delete(one);
  }

  #look(): void {
    this.#timer = undefined;
    const since = performance.now() - this.limitMs;
    for (const [one, at] of this.#sent) {
      if (at > since) {
        this.#timer = setTimeout(() => this.#look(), at - since).unref();
        return;
      }
      this.#sent.delete(one);
      one.handleError(new Error('Query read timeout'));
    }
  }
}
