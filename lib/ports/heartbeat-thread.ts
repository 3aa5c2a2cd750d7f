/** Who beats, how often, and for how long without the main thread. */
export interface HeartbeatThreadSettings {
  readonly worker: string;
  readonly heartbeatMs: number;
  /** a main thread that has not beaten for longer is taken for dead: nobody beats in its place any more */
  readonly maxBlockedMs: number;
}

/**
 * Beats in place of the main thread while that cannot: while a step blocks its event loop. As long as the main thread beats by
 * itself, it sends nothing and holds no connection. The storage brings it; where it cannot be had, the main thread is alone.
 */
export abstract class HeartbeatThread {
  /** Never rejects: a process that has no such thread works as it is. */
  abstract start(settings: HeartbeatThreadSettings): Promise<void>;
  /** The main thread has beaten, by a statement sent so many ms ago. */
  abstract beaten(agoMs: number): void;
  /** How many ms ago the thread sent its last beat that arrived; Infinity when there is none. */
  abstract readonly lastBeatAgo: number;
  /** Nothing is sent after this. */
  abstract stop(): Promise<void>;
}
