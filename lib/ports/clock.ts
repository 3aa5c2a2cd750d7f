/** Two questions to a clock: what SQL takes for now, and how much time has passed here. Tests set the first. */
export abstract class Clock {
  /** The moment SQL uses instead of the database's own clock; null in production. */
  abstract sqlNow(): Date | null;
  /** Monotonic ms; only differences mean something. */
  abstract elapsed(): number;
  /** Calls back after `ms` of this clock; returns a function that calls it off. Does not keep the process alive. */
  abstract after(ms: number, callback: () => void): () => void;
}
