import { Injectable } from '@nestjs/common';
import type { Loaded, Task } from '../ports/index.js';

/** How many more tasks this process may work on; the scheduler opens and fills it. */
@Injectable()
export class Capacity {
  #limit = 0;
  #used = 0;
  #queues: readonly string[] = [];
  #serves: ReadonlySet<string> = new Set();
  #owner: string | null = null;
  #priorities: readonly number[] = [0];
  #start: (task: Task, fresh: Loaded | null) => void = () => {};
  /** called when a place has become free */
  onFreed: () => void = () => {};

  open(
    owner: string,
    limit: number,
    workflows: readonly string[],
    start: (task: Task, fresh: Loaded | null) => void,
  ): void {
    this.#owner = owner;
    this.#limit = limit;
    this.#queues = workflows;
    this.#serves = new Set(workflows);
    this.#start = start;
  }

  /** Nothing is started any more. */
  close(): void {
    this.#limit = 0;
    this.#owner = null;
  }

  /** Priorities in use, as far as this process knows: those that a claim looks at. */
  get priorities(): readonly number[] {
    return this.#priorities;
  }

  /** A task with this priority exists, or will. */
  uses(priority: number): void {
    if (!this.#priorities.includes(priority))
      this.#priorities = [...this.#priorities, priority].toSorted((a, b) => a - b);
  }

  get free(): number {
    return Math.max(0, this.#limit - this.#used);
  }

  get used(): number {
    return this.#used;
  }

  /** A place for a run of this workflow: the worker to lease it to; null when there is none. */
  reserve(workflow: string): string | null {
    if (this.free === 0 || !this.#serves.has(workflow)) return null;
    this.#used++;
    return this.#owner;
  }

  /** Places for whatever is woken, as far as there are any: the worker to lease it to, and what it serves. */
  keep(places: number): { worker: string; queues: readonly string[]; places: number } | null {
    const kept = Math.min(places, this.free);
    if (kept === 0 || this.#owner === null) return null;
    this.#used += kept;
    return { worker: this.#owner, queues: this.#queues, places: kept };
  }

  take(count: number): void {
    this.#used += count;
  }

  giveBack(count = 1): void {
    this.#used -= count;
    this.onFreed();
  }

  /** Starts a run that was inserted or woken already leased; its place was reserved. */
  start(task: Task, fresh: Loaded | null): void {
    this.#start(task, fresh);
  }
}
