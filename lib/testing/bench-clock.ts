import { Injectable } from '@nestjs/common';
import { Clock } from '../ports/index.js';

/**
 * A clock whose time of runs stands still until it is moved. It starts at the present. Leases, heartbeats and the time limits
 * of steps go by the time of the process, so that a test which skips a year makes nobody look dead.
 */
@Injectable()
export class BenchClock extends Clock {
  #now = Date.now();

  /** The time of runs, in ms. */
  get now(): number {
    return this.#now;
  }

  /** Moves to a later moment; an earlier one, or the same, changes nothing. */
  moveTo(ms: number): void {
    // statements count in whole ms, and what is due within one is due at its end
    this.#now = Math.max(this.#now, Math.ceil(ms));
  }

  sqlNow(): Date {
    return new Date(this.#now);
  }

  elapsed(): number {
    return performance.now();
  }

  override sqlElapsed(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = setTimeout(callback, Math.max(0, ms));
    timer.unref();
    return () => clearTimeout(timer);
  }

  override pause(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }
}
