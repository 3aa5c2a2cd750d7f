import type { PollTimes } from './poll.js';
import type { ResolvedFlow } from './flow-control.js';
import type { RetryPolicy } from './retry.js';
import type { StepKind } from './journal.js';

/** A durable call as the code makes it. */
export interface Request {
  readonly kind: StepKind;
  /** base of the key: `Class.method` of a @Step, the name of a `ctx.` call */
  readonly name: string;
  /** what `@Step({ key })` said: tells parallel calls of one step apart */
  readonly discriminator?: string;
  /** digest of the arguments, to notice that another call took the place of the recorded one */
  readonly digest?: string | null;
  /** of executable kinds: the work itself */
  readonly execute?: (step: any) => unknown;
  readonly retry?: RetryPolicy;
  readonly timeoutMs?: number | null;
  /** its task waits in the line of this key; never executed inline */
  readonly flow?: ResolvedFlow;
  /** of a sleep: ms from the moment it is asked, or an absolute time */
  readonly sleep?: { readonly ms: number } | { readonly until: number };
  /** of a wait */
  readonly event?: string;
  /** of a poll, whose `execute` is one look */
  readonly poll?: PollTimes;
  /** of a call that the engine makes: what it has to know, as text */
  readonly call?: string;
  /** of a child run: starts it for the step of this key, at least once and idempotent */
  readonly start?: (key: string) => Promise<StartedChild>;
  /** answered the moment it is asked, live, with what this gives: no effect, only a value that is the same ever after */
  readonly instant?: () => Instant;
}

export interface StartedChild {
  readonly runId: string;
  /** its execution, if it was started in this very process just now */
  readonly here: string | null;
}

/** An answer without an effect. `event` and `request` go into the row beside the value. */
export interface Instant {
  readonly value: unknown;
  readonly event: string;
  readonly request: string;
}

/** A request in the order asked, with its key. */
export interface Ask {
  readonly key: string;
  readonly request: Request;
  readonly order: number;
}

/** How the code leaves before its end: for good, or to go on as a new execution with this encoded payload. */
export type Exit = { readonly to: 'cancelled' } | { readonly to: 'continued'; readonly payload: string };

export type Outcome =
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

interface OpenAsk extends Ask {
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The workflow code, running, and what it has asked for. Knows nothing of time, storage or steps: it hands out promises
 * and settles them when told to. A promise that is not settled stays pending for ever, so that no `catch` or `finally`
 * of user code ever sees the engine.
 */
export class Replay {
  readonly #open = new Map<string, OpenAsk>();
  readonly #counts = new Map<string, number>();
  #order = 0;
  #outcome: Outcome | undefined;
  #exit: Exit | undefined;
  /** called at each ask and at the end of the code */
  onActivity: () => void = () => {};

  /** @param prefix put before each key: the @OnFailure handler has a key space of its own */
  constructor(readonly prefix = '') {}

  /** Starts the code. What it throws synchronously is a rejection. */
  start(body: () => unknown): void {
    new Promise((resolve) => resolve(body())).then(
      (value) => this.#settle({ ok: true, value }),
      (error: unknown) => this.#settle({ ok: false, error }),
    );
  }

  /** The promise of the answer, and the key under which it is journaled. */
  ask(request: Request): { key: string; promise: Promise<unknown> } {
    const base =
      this.prefix + request.name + (request.discriminator === undefined ? '' : `:${request.discriminator}`);
    const count = (this.#counts.get(base) ?? 0) + 1;
    this.#counts.set(base, count);
    const key = count === 1 ? base : `${base}#${count}`;
    let resolve!: OpenAsk['resolve'];
    let reject!: OpenAsk['reject'];
    const promise = new Promise<unknown>((onValue, onError) => {
      resolve = onValue;
      reject = onError;
    });
    this.#open.set(key, { key, request, order: this.#order++, promise, resolve, reject });
    this.onActivity();
    return { key, promise };
  }

  /** The code leaves; the first time counts. */
  leave(exit: Exit): Promise<never> {
    this.#exit ??= exit;
    this.onActivity();
    return new Promise<never>(() => {});
  }

  /** Gives the code one answer. The caller lets the loop run dry before the next: two answers in one tick would break Promise.race. */
  deliver(key: string, outcome: Outcome): void {
    const ask = this.#open.get(key);
    if (!ask) return;
    this.#open.delete(key);
    if (outcome.ok) {
      ask.resolve(outcome.value);
    } else {
      // an abandoned branch may never look at this promise; its rejection must not end the process
      ask.promise.catch(() => {});
      ask.reject(outcome.error);
    }
  }

  isOpen(key: string): boolean {
    return this.#open.has(key);
  }

  find(key: string): Ask | undefined {
    return this.#open.get(key);
  }

  /** What is asked and not answered, in the order asked. */
  open(): Ask[] {
    return [...this.#open.values()];
  }

  /** Number of asks ever made: tells whether something happened. */
  get asked(): number {
    return this.#order;
  }

  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  #settle(outcome: Outcome): void {
    this.#outcome = outcome;
    this.onActivity();
  }
}
