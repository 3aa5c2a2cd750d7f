import type { Task } from '../ports/index.js';
import type { Activation } from './activation.js';

/** Looks over the shoulder of the runtime. The test bench brings one; production has none and pays one comparison. */
export abstract class Inspector {
  /** An activation has come to its end, durably; the delivery ends when this has. */
  abstract advanced(activation: Activation): Promise<void>;
  /** A delivery failed and is repeated later. */
  abstract undelivered(task: Task, error: unknown): void;
  /** The time of a schedule could not be started, and is tried again. */
  abstract unscheduled(error: unknown): void;
}
