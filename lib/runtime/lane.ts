import type { StoreFault } from '../ports/index.js';
import { WorkflowError } from '../errors/index.js';

export interface LaneOptions<T, R> {
  readonly flush: (items: readonly T[]) => Promise<readonly R[]>;
  readonly fault: (error: unknown) => StoreFault;
  readonly maxItems: number;
  /** batches under way at a time @default 1 */
  readonly maxFlushes?: number;
  /** bytes an item brings into a batch */
  readonly sizeOf?: (item: T) => number;
  readonly maxBytes?: number;
  /** waits before a transient failure is tried again */
  readonly pause: (ms: number) => Promise<void>;
  readonly onTransient?: (error: unknown, tries: number) => void;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/** How long to wait after so many tries that the database did not answer. */
export const backoffMs = (tries: number): number => Math.min(2000, 25 * 2 ** Math.min(tries, 10));

/** The error of a value that the database refuses. */
export function notStorable(cause: unknown): WorkflowError {
  const said = cause instanceof Error ? cause.message : String(cause);
  return new WorkflowError('WF_NOT_STORABLE', `The database refused a value: ${said}`, { cause });
}

/** So many items fill a flush: with more of them the part of each in what a statement costs hardly changes. */
const ENOUGH = 64;

/** How many smaller batches a blocked one becomes. */
const PARTS = 25;

/**
 * Group commit: one flush in flight (or a few, where there is enough for each); what gathers meanwhile goes in the next one. No timer:
 * an idle lane flushes at once.
 * A transient failure repeats the same batch unchanged (each statement is idempotent) until it is through; a value that the
 * database refuses is found by halving, and only its own item is rejected, as WF_NOT_STORABLE.
 *
 * A batch that is blocked leaves the lane, which goes on: smaller batches in a lane beside it find out which item is to blame,
 * and that one alone tries on, in turn with others like it, for as long as the other transaction stays open.
 */
export class Lane<T, R> {
  #queue: Waiting<T, R>[] = [];
  #flushes = 0;
  /** items in the flush that began last */
  #latest = 0;
  #scheduled = false;
  #givenUp = false;
  /** lanes of smaller batches beside this one, by their size */
  readonly #beside = new Map<number, Lane<T, R>>();

  constructor(private readonly options: LaneOptions<T, R>) {}

  add(item: T): Promise<R> {
    return new Promise<R>((resolve, reject) => this.enqueue(item, resolve, reject));
  }

  /** As `add`, without a promise. */
  enqueue(item: T, resolve: (result: R) => void, reject: (error: unknown) => void): void {
    this.#push({ item, resolve, reject });
  }

  /** Transient failures are no longer repeated, and nobody waits for the transactions of others. */
  giveUp(): void {
    this.#givenUp = true;
    for (const lane of this.#beside.values()) lane.giveUp();
  }

  #push(waiting: Waiting<T, R>): void {
    this.#queue.push(waiting);
    if (this.#scheduled || this.#flushes >= (this.options.maxFlushes ?? 1) || !this.#isWorth(this.#flushes))
      return;
    this.#scheduled = true;
    const begin = (): void => {
      this.#scheduled = false;
      void this.#drain();
    };
    // what is asked in the same turn of the loop goes into the same statement; where nothing comes together, not even that is waited for
    if (this.#latest <= 1) process.nextTick(begin);
    else setImmediate(begin);
  }

  async #drain(): Promise<void> {
    this.#flushes++;
    while (this.#queue.length > 0 && this.#isWorth(this.#flushes - 1)) {
      const batch = this.#take();
      this.#latest = batch.length;
      await this.#flush(batch);
      await this.#gather();
    }
    this.#flushes--;
  }

  /** Waits turn by turn for as long as each brings more: a busy loop, as that of HTTP, brings what belongs together in many turns. */
  async #gather(): Promise<void> {
    for (let before = 1; before < this.#queue.length && this.#queue.length < ENOUGH;) {
      before = this.#queue.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** A flush beside others is worth its commit when it brings as much as the last one; else what waits goes with the next one. */
  #isWorth(others: number): boolean {
    return others === 0 || this.#queue.length >= Math.min(ENOUGH, this.#latest);
  }

  #take(): Waiting<T, R>[] {
    const { maxItems, maxBytes = Infinity, sizeOf = () => 0 } = this.options;
    let count = 0;
    let bytes = 0;
    while (count < this.#queue.length && count < maxItems) {
      bytes += sizeOf(this.#queue[count]!.item);
      if (count > 0 && bytes > maxBytes) break;
      count++;
    }
    if (count < this.#queue.length) return this.#queue.splice(0, count);
    const all = this.#queue;
    this.#queue = [];
    return all;
  }

  async #flush(batch: readonly Waiting<T, R>[]): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        const results = await this.options.flush(batch.map(({ item }) => item));
        batch.forEach(({ resolve }, i) => resolve(results[i]!));
        return;
      } catch (error) {
        const fault = this.options.fault(error);
        if (fault === 'transient' && !this.#givenUp) {
          this.options.onTransient?.(error, tries);
          await this.options.pause(backoffMs(tries));
          continue;
        }
        if (fault === 'poison') return this.#isolate(batch, error);
        if (fault === 'blocked' && !(this.#givenUp && batch.length === 1)) return this.#moveAside(batch);
        for (const { reject } of batch) reject(error);
        return;
      }
    }
  }

  /** In the lane of single items a blocked one goes to the end of the queue. No pause: the wait was in the statement. */
  #moveAside(batch: readonly Waiting<T, R>[]): void {
    const size = batch.length === 1 ? 1 : Math.ceil(this.options.maxItems / PARTS);
    const lane = size === this.options.maxItems ? this : this.#laneBeside(size);
    for (const waiting of batch) lane.#push(waiting);
  }

  #laneBeside(maxItems: number): Lane<T, R> {
    const known = this.#beside.get(maxItems);
    if (known) return known;
    const lane = new Lane<T, R>({ ...this.options, maxItems });
    lane.#givenUp = this.#givenUp;
    // one lane of single items for all sizes, so that blocked ones hold one connection
    if (maxItems > 1) lane.#beside.set(1, this.#laneBeside(1));
    this.#beside.set(maxItems, lane);
    return lane;
  }

  async #isolate(batch: readonly Waiting<T, R>[], error: unknown): Promise<void> {
    if (batch.length === 1) {
      batch[0]!.reject(notStorable(error));
      return;
    }
    const half = batch.length >> 1;
    await this.#flush(batch.slice(0, half));
    await this.#flush(batch.slice(half));
  }
}
