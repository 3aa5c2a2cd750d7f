import { Injectable, Logger } from '@nestjs/common';
import {
  Clock,
  RunStore,
  type AdvanceCommit,
  type CommitResult,
  type Loaded,
  type LoadRequest,
  type StepCommit,
  type StoreFault,
  type Triggered,
  type TriggerRow,
} from '../ports/index.js';
import { backoffMs, Lane, notStorable } from './lane.js';

const MAX_BYTES = 8 * 1024 * 1024;
/** So that this process works on the results of one flush while the database works on the other. */
const LEAN_FLUSHES = 2;

/**
 * The hot lanes of a process. Separate, so that triggers never wait behind results, nor results behind reads, nor what is lean
 * behind what is not.
 */
@Injectable()
export class JournalWriter {
  readonly #logger = new Logger('Workflow');
  readonly #triggers: Lane<TriggerRow, Triggered | null>;
  readonly #loads: Lane<LoadRequest, Loaded | null>;
  readonly #commits: Lane<AdvanceCommit, CommitResult>;
  readonly #lean: Lane<AdvanceCommit, CommitResult>;
  readonly #answers: Lane<StepCommit, CommitResult>;

  #givenUp = false;

  constructor(
    private readonly store: RunStore,
    private readonly clock: Clock,
  ) {
    const common = {
      fault: (error: unknown) => store.fault(error),
      maxBytes: MAX_BYTES,
      pause: (ms: number) => clock.pause(ms),
      onTransient: (error: unknown, tries: number) => this.#report(error, tries),
    };
    this.#triggers = new Lane({
      ...common,
      maxItems: 500,
      sizeOf: (row) => row.payload.length,
      flush: (rows) => store.trigger(rows),
    });
    this.#loads = new Lane({ ...common, maxItems: 200, flush: (requests) => store.load(requests) });
    const commits = {
      ...common,
      maxItems: 500,
      sizeOf: sizeOfCommit,
      flush: (items: readonly AdvanceCommit[]) => store.commit(items),
    };
    this.#commits = new Lane(commits);
    this.#lean = new Lane({ ...commits, maxFlushes: LEAN_FLUSHES });
    this.#answers = new Lane({
      ...common,
      maxItems: 500,
      sizeOf: (commit) => sizeOfAnswer(commit.row.answer),
      flush: (commits) => store.answer(commits),
    });
  }

  trigger(row: TriggerRow): Promise<Triggered | null> {
    return this.#triggers.add(row);
  }
  load(request: LoadRequest): Promise<Loaded | null> {
    return this.#loads.add(request);
  }
  commit(commit: AdvanceCommit): Promise<CommitResult> {
    return this.#laneOf(commit).add(commit);
  }
  /** As `commit`, without a promise: it is on the way of every step. */
  enqueueCommit(
    commit: AdvanceCommit,
    resolve: (result: CommitResult) => void,
    reject: (error: unknown) => void,
  ): void {
    this.#laneOf(commit).enqueue(commit, resolve, reject);
  }
  answer(commit: StepCommit): Promise<CommitResult> {
    return this.#answers.add(commit);
  }

  /** A statement outside the lanes, repeated as theirs are. */
  async repeat<R>(statement: () => Promise<R>): Promise<R> {
    for (let tries = 1; ; tries++) {
      try {
        return await statement();
      } catch (error) {
        const fault = this.store.fault(error);
        if (fault === 'poison') throw notStorable(error);
        if (this.#givenUp || !AGAIN.includes(fault)) throw error;
        this.#report(error, tries);
        await this.clock.pause(backoffMs(tries));
      }
    }
  }

  /** From now on a database that does not answer is an error, and no reason to wait. */
  giveUp(): void {
    this.#givenUp = true;
    for (const lane of [this.#triggers, this.#loads, this.#commits, this.#lean, this.#answers]) lane.giveUp();
  }

  #laneOf(commit: AdvanceCommit): Lane<AdvanceCommit, CommitResult> {
    return commit.lean ? this.#lean : this.#commits;
  }

  #report(error: unknown, tries: number): void {
    if (tries !== 3 && tries % 30 !== 0) return;
    this.#logger.warn(
      `The database does not answer (try ${tries}): ${(error as Error)?.message}. Nothing is lost; trying on.`,
    );
  }
}

const AGAIN: readonly StoreFault[] = ['transient', 'blocked'];

const sizeOfAnswer = (answer: StepCommit['row']['answer']): number =>
  answer === null ? 0 : answer.ok ? answer.value.length : answer.failure.length;

function sizeOfCommit(commit: AdvanceCommit): number {
  let bytes = 'result' in commit.next ? commit.next.result.length : 0;
  for (const row of commit.rows) bytes += sizeOfAnswer(row.answer);
  return bytes;
}
