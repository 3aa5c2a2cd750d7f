/**
 * The time of runs, which is that of SQL, and the time of this process. In production both go on alike; a test sets the
 * first, while leases, heartbeats and time limits of steps keep to the second.
 */
export abstract class Clock {
  /** The moment SQL uses instead of the database's own clock; null in production. */
  abstract sqlNow(): Date | null;
  /** Monotonic ms of this process; only differences mean something. */
  abstract elapsed(): number;
  /** By how many ms the time of SQL has moved on, as far as that can be known without asking it. */
  sqlElapsed(): number {
    return this.elapsed();
  }
  /** Calls back after `ms` of the time of this process; returns a function that calls it off. Does not keep the process alive. */
  abstract after(ms: number, callback: () => void): () => void;
  /** Resolves after `ms` of the time of this process. What waits so has work to finish: a real clock keeps the process alive for it. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }
}
