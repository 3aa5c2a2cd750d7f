import type { Ask } from '../engine/replay.js';
import type { Clock } from '../ports/index.js';
import { awaken } from './awaken.js';
import type { Capacity } from './capacity.js';
import type { LocalEnd, LocalEnds } from './local-ends.js';
import { turn, type RunningCode } from './running-code.js';

/** So long a run waits in memory for children that execute in this process; then it suspends, and is woken by a message. */
const PATIENCE_MS = 50;

const NONE: readonly EndedChild[] = [];

interface LocalChild {
  readonly execution: string;
  end?: LocalEnd;
  isGone: boolean;
}

export interface EndedChild {
  readonly key: string;
  readonly end: LocalEnd;
}

export interface LocalChildrenDependencies {
  readonly ends: LocalEnds;
  readonly capacity: Capacity;
  readonly clock: Clock;
}

/**
 * Children of one activation that execute in this process. For a moment their parent waits for them in memory, and is told how they
 * have ended before their flush is back, as the code is told the result of a step: it goes on, but nothing of it is sent before that flush
 * is durable (`durable`), and if that fails, all that came of it is forgotten (the lease is given up, and the run starts over from its journal).
 *
 * The end of a child is marked `unreported` as ever. The mark is cleared when the parent has stored the answer; whatever happens
 * before that, it is found, and the parent is told by message. One that another process sends meanwhile is not read twice: see
 * `Journal.spent`.
 */
export class LocalChildren {
  readonly #children = new Map<string, LocalChild>();
  #since = 0;
  /** answers that are not stored yet */
  #taken: LocalEnd[] = [];
  #wake = (): void => {};

  constructor(
    private readonly on: LocalChildrenDependencies,
    private readonly code: Pick<RunningCode, 'onActivity'>,
  ) {}

  add(key: string, execution: string): void {
    const child: LocalChild = { execution, isGone: false };
    this.#children.set(key, child);
    this.#since = this.on.clock.elapsed();
    this.on.ends.expect(execution, {
      told: (end) => {
        child.end = end;
        this.#wake();
      },
      gone: () => {
        child.isGone = true;
        this.#wake();
      },
    });
  }

  /** Whether all that is open are children of which something will be heard here, and soon. */
  mayWaitFor(open: readonly Ask[]): boolean {
    return (
      this.on.clock.elapsed() - this.#since < PATIENCE_MS &&
      open.every(({ key }) => this.#children.get(key)?.isGone === false)
    );
  }

  /** Resolves when one has ended or is gone, or the code has done something on its own, or after so many ms. Takes no place meanwhile. */
  async next(withinMs: number): Promise<void> {
    const patience = this.#since + PATIENCE_MS - this.on.clock.elapsed();
    this.on.capacity.giveBack();
    await awaken(this.on.clock, this.code, Math.min(withinMs, patience), (wake) => (this.#wake = wake));
    this.on.capacity.take(1);
    this.#wake = () => {};
    // all that ends in the same turn is journaled together
    await turn();
  }

  /** Those that have ended, in the order in which they were asked for. */
  take(): readonly EndedChild[] {
    if (this.#children.size === 0) return NONE;
    const ended: EndedChild[] = [];
    for (const [key, { end }] of this.#children) {
      if (!end) continue;
      this.#children.delete(key);
      this.#taken.push(end);
      ended.push({ key, end });
    }
    return ended;
  }

  /** True when something is to be stored that was told by an end. */
  get owes(): boolean {
    return this.#taken.length > 0;
  }

  /** False when one of the ends that were taken was not stored. */
  async durable(): Promise<boolean> {
    const stored = await Promise.all(this.#taken.map(({ durable }) => durable));
    return stored.every((one) => one);
  }

  /** What was taken before is stored. */
  paid(): void {
    this.on.ends.paid(this.#taken.map(({ execution }) => execution));
    this.#taken = [];
  }

  /** The run suspends, or is over: those that go on tell it by message, and so does what was told and not stored. */
  leave(): void {
    const told: LocalEnd[] = [];
    for (const { execution, end } of this.#children.values()) {
      if (end) told.push(end);
      else this.on.ends.forget(execution);
    }
    this.#children.clear();
    this.on.ends.unpaid(told);
  }

  /** Nothing of what was taken will be stored from here. */
  abandon(): void {
    this.leave();
    this.on.ends.unpaid(this.#taken);
    this.#taken = [];
  }
}
