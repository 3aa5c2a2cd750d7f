import { LazyMap, LazySet } from './lazy.js';

/**
 * What a durable call is. Two are no calls but marks: `failure`, where the run failed and its @OnFailure began, and `patch`,
 * where changed code took its new way.
 */
export type StepKind =
  | 'step'
  | 'sleep'
  | 'wait'
  | 'notify'
  | 'trigger'
  | 'call'
  | 'invoke'
  | 'webhook'
  | 'poll'
  | 'failure'
  | 'patch';

const isMark = ({ kind }: JournalRow): boolean => kind === 'failure' || kind === 'patch';

/** An encoded result, or an encoded {@link Failure}. */
export type Answer =
  { readonly ok: true; readonly value: string } | { readonly ok: false; readonly failure: string };

/**
 * One row of the journal. Times are ms of the database's clock.
 * - `pending`: asked, not answered: `wakeAt` is when something happens next, `failure` the last failed attempt
 * - `answered`: a step task has answered it; no activation has given it a position yet
 * - `journaled`: a fact; never changes again
 */
export interface JournalRow {
  readonly key: string;
  readonly name: string;
  readonly kind: StepKind;
  readonly state: 'pending' | 'answered' | 'journaled';
  /** order in which the code first saw the answers, from 1 */
  readonly position: number | null;
  readonly answer: Answer | null;
  readonly attempts: number;
  readonly askedAt: number;
  readonly finishedAt: number | null;
  readonly wakeAt: number | null;
  readonly event: string | null;
  /** the event that answered a wait; null for a wait that timed out */
  readonly eventId: string | null;
  /** true: something other than this run's own activation answers it: a step task, a call task, a child run */
  readonly dispatched: boolean;
  readonly digest: string | null;
  /** what is needed to answer it, and to show it: the request of a call, the options of a webhook, a child's run id */
  readonly request: string | null;
}

/** Something that arrived for a run from outside and waits to be journaled. */
export interface InboxMessage {
  readonly id: string;
  /** `event`: for every wait of that event. The others tell how the child of the step `key` has ended. */
  readonly kind: 'event' | 'completed' | 'failed' | 'cancelled';
  readonly key: string | null;
  readonly event: string;
  readonly eventId: string;
  readonly data: string;
  readonly createdAt: number;
}

export const FAILURE_KEY = '@failure';

/** The activation's picture of a run's journal: what is durable, and what the next flush makes durable. */
export class Journal {
  readonly #rows = new Map<string, JournalRow>();
  /** journaled rows that the code has not been given, in position order */
  #undelivered: JournalRow[] = [];
  readonly #taken = new LazySet<string>();
  readonly #unseen = new LazySet<string>();
  readonly #patches = new LazyMap<string, JournalRow>();
  #inbox: readonly InboxMessage[] = [];
  /** messages for one step, by its key */
  readonly #results = new LazyMap<string, InboxMessage>();
  position = 0;
  readonly #delegated = new LazySet<string>();

  /** Takes in what a load returned: rows beyond what is known here, and pending or answered ones as they are now. */
  merge(rows: readonly JournalRow[], inbox: readonly InboxMessage[]): void {
    for (const row of rows) {
      const known = this.#rows.get(row.key);
      if (known?.state === 'journaled') continue;
      if (!known && !isMark(row)) this.#unseen.add(row.key);
      this.#set(row);
    }
    this.#undelivered.sort((a, b) => a.position! - b.position!);
    this.#receive(inbox);
  }

  get inbox(): readonly InboxMessage[] {
    return this.#inbox;
  }

  /** The message that tells how the child of this step has ended. */
  resultFor(key: string): InboxMessage | undefined {
    return this.#results.get(key);
  }

  /** Messages for steps that are answered already: their child has told it in memory, and somebody else as well. */
  get spent(): readonly InboxMessage[] {
    return this.#inbox.filter(({ key }) => key !== null && this.#rows.get(key)?.state === 'journaled');
  }

  /** True when anything of the run was ever left to a task of its own, or to a child that may tell it by a message. */
  get delegated(): boolean {
    return this.#delegated.size > 0;
  }

  /** This child has told in memory how it has ended: no message is expected. */
  toldHere(key: string): void {
    this.#delegated.delete(key);
  }

  get rows(): readonly JournalRow[] {
    return [...this.#rows.values()];
  }

  /** Marks that changed code has left. */
  get patches(): Iterable<JournalRow> {
    return this.#patches.values();
  }

  get(key: string): JournalRow | undefined {
    return this.#rows.get(key);
  }

  /** Records a row that the next flush writes; it counts as seen by the code. */
  put(row: JournalRow): JournalRow {
    this.#set(row);
    return row;
  }

  /** The code has asked for this key: it is no longer history to be replayed. */
  seen(key: string): void {
    this.#unseen.delete(key);
  }

  /** True while recorded rows with this key prefix exist for which the code has not asked yet: it is being replayed. */
  hasUnseen(prefix: string): boolean {
    for (const key of this.#unseen.values()) if (key.startsWith(prefix)) return true;
    return false;
  }

  get undelivered(): readonly JournalRow[] {
    return this.#undelivered;
  }

  delivered(row: JournalRow): void {
    const at = this.#undelivered.indexOf(row);
    if (at >= 0) this.#undelivered.splice(at, 1);
  }

  /** True when a wait of this run was already answered by this event. */
  hasTaken(eventId: string): boolean {
    return this.#taken.has(eventId);
  }

  consume(ids: ReadonlySet<string>): void {
    if (ids.size > 0) this.#receive(this.#inbox.filter((message) => !ids.has(message.id)));
  }

  #receive(inbox: readonly InboxMessage[]): void {
    this.#inbox = inbox;
    this.#results.clear();
    for (const one of inbox) if (one.key !== null) this.#results.set(one.key, one);
  }

  #set(row: JournalRow): void {
    this.#rows.set(row.key, row);
    if (row.eventId !== null) this.#taken.add(row.eventId);
    if (row.dispatched) this.#delegated.add(row.key);
    if (row.kind === 'patch') this.#patches.set(row.key, row);
    if (row.state !== 'journaled') return;
    if (!isMark(row)) this.#undelivered.push(row);
    this.position = Math.max(this.position, row.position!);
  }
}
