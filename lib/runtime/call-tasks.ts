import type { Task } from '../ports/index.js';

/** Makes the external calls of runs: tasks that no code of the application is called for. */
export abstract class CallTasks {
  /** calls that this process makes at a time */
  abstract readonly limit: number;
  /** Makes the call of this leased task and stores its answer. Never throws; in how many ms the lease is to be given back due, null when it is used up. */
  abstract execute(task: Task): Promise<number | null>;
  /** Ends the calls that are under way: they are given back, and made again elsewhere. */
  abstract cutOff(): void;
}
