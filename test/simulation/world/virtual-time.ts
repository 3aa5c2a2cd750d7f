import type { Dice } from './dice.js';

/** Who an event belongs to: what is dead does nothing any more, what stands still does it later. */
export interface Actor {
  readonly alive: boolean;
  /** virtual ms until which it stands still */
  readonly standsUntil: number;
}

interface Event {
  readonly at: number;
  readonly tie: number;
  readonly actor: Actor | null;
  readonly work: () => void;
  off: boolean;
}

const realImmediate = globalThis.setImmediate;
/** Events between two looks at the real event loop. */
const BATCH = 64;

/**
 * One virtual time for a whole world, moved on only when nothing else can happen. Every macrotask of the code under test is an event
 * here: timers through its clock, `setImmediate` because it is replaced while the world runs. Between two events all microtasks run
 * dry, so that what an event sets off belongs to its actor alone, and the order of everything comes from the seed.
 */
export class VirtualTime {
  now = 0;
  #heap: Event[] = [];
  #immediates: { readonly actor: Actor | null; readonly work: () => void }[] = [];
  #head = 0;
  #current: Actor | null = null;
  events = 0;

  constructor(private readonly dice: Dice) {}

  /** At this moment plus `ms`; returns how to call it off. */
  after(actor: Actor | null, ms: number, work: () => void): () => void {
    const event: Event = {
      at: this.now + Math.max(0, ms),
      tie: this.dice.fraction(),
      actor,
      work,
      off: false,
    };
    this.#push(event);
    return () => {
      event.off = true;
    };
  }

  /** Runs until `over` says so or nothing is left. Errors of an event end it. */
  run(over: () => boolean): Promise<void> {
    const before = globalThis.setImmediate;
    globalThis.setImmediate = ((work: (...args: unknown[]) => void, ...args: unknown[]) => {
      this.#immediates.push({ actor: this.#current, work: () => work(...args) });
    }) as unknown as typeof setImmediate;
    return new Promise<void>((resolve, reject) => {
      let ended = false;
      const end = (then: () => void): void => {
        ended = true;
        then();
      };
      const step = (last: boolean): void => {
        if (ended) return;
        try {
          if (over() || !this.#next()) return end(resolve);
        } catch (error) {
          return end(() => reject(error as Error));
        }
        if (last) queue();
      };
      const queue = (): void => {
        for (let i = 1; i <= BATCH; i++) realImmediate(step, i === BATCH);
      };
      queue();
    }).finally(() => {
      globalThis.setImmediate = before;
      this.#current = null;
    });
  }

  #next(): boolean {
    for (;;) {
      const event = this.#immediate() ?? this.#pop();
      if (!event) return false;
      const { actor } = event;
      if (actor?.alive === false) continue;
      if (actor && actor.standsUntil > this.now) {
        this.after(actor, actor.standsUntil - this.now, event.work);
        continue;
      }
      this.events++;
      this.#current = actor;
      event.work();
      return true;
    }
  }

  #immediate(): { actor: Actor | null; work: () => void } | undefined {
    const next = this.#immediates[this.#head];
    if (!next) return undefined;
    if (++this.#head === this.#immediates.length) {
      this.#immediates = [];
      this.#head = 0;
    }
    return next;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    for (;;) {
      const first = this.#shift();
      if (!first) return undefined;
      if (first.off) continue;
      this.now = first.at;
      return first;
    }
  }

  #shift(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || first === last) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.tie < b.tie);
