import { Clock } from '../ports/index.js';

/** Longest delay setTimeout takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class SystemClock extends Clock {
  sqlNow(): null {
    return null;
  }

  elapsed(): number {
    return performance.now();
  }

  after(ms: number, callback: () => void): () => void {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), MAX_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  }

  override pause(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }
}
