import { Logger } from '@nestjs/common';
import type { WorkflowHandler } from '../authoring/index.js';
import { arrivalsFor } from '../engine/arrivals.js';
import { StepFailedError } from '../engine/errors.js';
import { decodeFailure, encodeFailure, toFailure, type Failure } from '../engine/failure.js';
import { FAILURE_KEY, Journal, type JournalRow } from '../engine/journal.js';
import { isExecutable, mismatchIn, pendingRow, planFor } from '../engine/plan.js';
import { Replay, type Ask, type Outcome } from '../engine/replay.js';
import { resolveRetry } from '../engine/retry.js';
import {
  afterFailure,
  afterOutcome,
  failureRow,
  limitReached,
  type RunState,
  type Transition,
} from '../engine/transition.js';
import { WorkflowError } from '../errors/index.js';
import type {
  AdvanceCommit,
  Clock,
  Codec,
  Lease,
  Loaded,
  Probe,
  RunEffects,
  RunHeader,
} from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import type { ActivationSession } from './activation-session.js';
import type { RuntimeConfig } from './config.js';
import type { JournalWriter } from './journal-writer.js';
import { PendingFlush, withoutCulprit } from './pending-flush.js';
import { FAILURE_PREFIX, startCode } from './start-code.js';
import { stepRow } from './step-row.js';
import type { StepRunner } from './step-runner.js';

export interface ActivationDependencies {
  readonly writer: JournalWriter;
  readonly steps: StepRunner;
  readonly codec: Codec;
  readonly effects: RunEffects;
  readonly clock: Clock;
  readonly config: RuntimeConfig;
  readonly probe: Probe | null;
  /** the code asked for something after the activation had ended */
  readonly onLateAsk: (execution: string, closed: boolean) => void;
}

/** How one delivery ended for the run. */
export type ActivationEnd =
  | { readonly next: 'continue' }
  /** `dueAt`: when time alone makes the run due again; with `waits` the lease is kept until kept events were looked for */
  | {
      readonly next: 'waiting';
      readonly dueAt: number | null;
      readonly waits: readonly string[];
      readonly dispatched: number;
    }
  | { readonly next: 'finished' }
  | { readonly next: 'lost' };

export interface AdvanceOptions {
  readonly lease: Lease;
  /** steps that may be executed before the lease is handed over */
  readonly budget: number;
  /** true where a second delivery under the same fence is possible: commits are counted and compared */
  readonly guarded: boolean;
  /** true once this process has taken over the lease: the run is not continued by a reply, but given back */
  readonly adopted: () => boolean;
}

const FIRST_GATHER_MS = 50;

type Next = AdvanceCommit['next'];

/**
 * One run's code in this process: replays the journal, executes what is to be executed, and flushes what became of it.
 * It may be parked between two deliveries; then its picture of the journal equals the durable one up to `position`.
 *
 * A result is handed to the code before its flush is back, and one flush carries the result and whatever the code did
 * with it (a new wait, the end). Nothing that has an effect (a step, a task, a reply) starts before that flush is durable.
 */
export class Activation {
  readonly journal = new Journal();
  readonly header: RunHeader;
  #replay!: Replay;
  #session!: ActivationSession;
  #failure: Failure | undefined;
  #state: 'active' | 'parked' | 'closed' | 'dead' = 'active';
  #loaded: Loaded;
  #loadedAt: number;
  #turn: number;
  #lastEntryAt: number;
  #gathered = false;
  #dueNow = false;
  #live: boolean;
  /** keys whose answer was found here, not loaded: what the code does with them it does for the first time */
  readonly #ours = new Set<string>();
  readonly #pending = new PendingFlush();
  /** open waits for which kept events have been looked for; a replay in another process cannot know, and looks again */
  readonly #listened = new Set<string>();
  #wake: () => void = () => {};
  readonly #logger = new Logger('Workflow');

  constructor(
    private readonly on: ActivationDependencies,
    private readonly definition: WorkflowDefinition,
    private readonly handler: WorkflowHandler<any, any>,
    loaded: Loaded,
    replayed = loaded.rows.length > 0 || loaded.header.attempt > 1,
  ) {
    this.header = loaded.header;
    this.#live = !replayed;
    this.#lastEntryAt = loaded.header.createdAt;
    this.#loaded = loaded;
    this.#loadedAt = on.clock.sqlElapsed();
    this.#turn = loaded.turn;
    this.journal.merge(loaded.rows, loaded.inbox);
    const recorded = this.journal.get(FAILURE_KEY)?.answer;
    if (recorded && !recorded.ok) this.#failure = decodeFailure(recorded.failure);
    this.#start();
  }

  get position(): number {
    return this.journal.position;
  }

  /** True once the run has failed and its @OnFailure method runs: what `run` itself asked for concerns nobody any more. */
  isAbandoned(key: string): boolean {
    return this.#failure !== undefined && !key.startsWith(FAILURE_PREFIX);
  }

  /** Commits made under the present fence. */
  get turn(): number {
    return this.#turn;
  }

  /** Takes in a later load of the same run: the parked code goes on from there. */
  refresh(loaded: Loaded): void {
    this.#loaded = loaded;
    this.#loadedAt = this.on.clock.sqlElapsed();
    this.#turn = loaded.turn;
    this.#gathered = this.#dueNow = false;
    this.#state = 'active';
    this.journal.merge(loaded.rows, loaded.inbox);
    for (const { key } of this.#replay.open()) this.journal.seen(key);
  }

  park(): void {
    this.#state = 'parked';
  }

  /** Suspended and not kept: what the code asks from now on is neither executed nor settled; the run is looked at again. */
  close(): void {
    this.#state = 'closed';
  }

  /** Ended, lost or replaced: what this code still asks concerns nobody. */
  discard(): void {
    this.#state = 'dead';
  }

  /** Only replays: for the delivery of a step task, which needs the call and its arguments. */
  async replayOnly(): Promise<void> {
    await turn();
    await this.#deliverAll();
  }

  /** What the code asks for at this moment, and whether it has ended: replays of one journal stand alike. */
  get standing(): Pick<Replay, 'outcome' | 'cancelled'> & { readonly open: readonly Ask[] } {
    const { outcome, cancelled } = this.#replay;
    return { open: this.#replay.open(), outcome, cancelled };
  }

  /** The same code once more, answered from this journal: to be compared with this one, never to be advanced. */
  async shadow(): Promise<Activation> {
    const loaded: Loaded = { ...this.#loaded, header: this.header, rows: this.journal.rows, inbox: [] };
    const shadow = new Activation(this.on, this.definition, this.handler, loaded, true);
    await shadow.replayOnly();
    return shadow;
  }

  /** The open call with this key, to be executed as a step task. */
  find(key: string): { ask: Ask; session: ActivationSession } | undefined {
    const ask = this.#replay.find(key);
    return ask && { ask, session: this.#session };
  }

  /** ms of the database's clock, as far as it can be known here. */
  time(): number {
    return this.#loaded.now + (this.on.clock.sqlElapsed() - this.#loadedAt);
  }

  /** Goes on until the run waits, ends, or the budget is used up. */
  async advance(options: AdvanceOptions): Promise<ActivationEnd> {
    let executed = 0;
    await turn();
    for (;;) {
      await this.#deliverAll();
      const replay = this.#replay;
      if (replay.cancelled) return this.#end(options, { to: 'cancelled' });
      if (replay.outcome) {
        const next = this.#settled(replay.outcome);
        if (next) return this.#end(options, next);
        continue;
      }
      const open = replay.open();
      const mismatch = mismatchIn(this.journal, open, this.header.runId);
      if (mismatch) {
        this.#logger.error(mismatch.message);
        return this.#end(options, { to: 'suspend', dueAt: this.time() + 30_000, stuck: mismatch.message });
      }
      // first what the code waits for by now, then what has arrived: an event goes to every open wait
      this.#recordWaits(open);
      if (this.#takeArrivals(open)) continue;
      const limit = this.#limit();
      if (!limit && (await this.#gather())) continue;
      const plan = planFor(this.journal, open, this.time());
      const stop = limit ?? (plan.do === 'listen' ? await this.#listen() : undefined);
      if (stop) {
        const next = this.#follow(afterFailure(toFailure(stop), this.#runState()));
        if (next) return this.#end(options, next);
      }
      if (stop || plan.do === 'listen') continue;
      if (plan.do === 'suspend') {
        for (const row of plan.dispatch) this.#put(row);
        return this.#suspend(options, plan.dispatch, plan.dueAt);
      }
      if (executed >= options.budget || options.adopted()) return this.#handOver(options);
      if (!this.#pending.isEmpty && !(await this.#flush(options, { to: 'continue' })))
        return { next: 'lost' };
      executed++;
      const end = await this.#execute(plan.ask, plan.attempt, options);
      if (end) return end;
    }
  }

  async #execute(ask: Ask, attempt: number, options: AdvanceOptions): Promise<ActivationEnd | undefined> {
    const { steps, codec, probe } = this.on;
    const before = this.journal.get(ask.key) ?? pendingRow(ask, this.time());
    const outcome = await steps.run(this.#session, ask, attempt, this.header, options.lease);
    if (outcome === 'abandoned') return { next: 'lost' };
    if (probe) await probe.at('step-executed', { runId: this.header.runId, step: ask.key });
    const { row, retryAt } = stepRow({
      before,
      outcome,
      attempt,
      ask,
      codec,
      now: this.time(),
      random: Math.random(),
    });
    if (retryAt !== null) {
      this.#put({ ...row, wakeAt: retryAt });
      return this.#suspend(options, [], retryAt);
    }
    this.#put({ ...row, state: 'journaled', position: this.position + 1, wakeAt: null });
    return undefined;
  }

  async #suspend(
    options: AdvanceOptions,
    dispatch: readonly JournalRow[],
    dueAt: number | null,
  ): Promise<ActivationEnd> {
    const deadline = this.header.deadlineAt;
    const due = deadline === null || this.#failure ? dueAt : Math.min(dueAt ?? Infinity, deadline);
    const waits = this.#replay
      .open()
      .map((ask) => this.journal.get(ask.key))
      .filter((row) => row !== undefined && row.event !== null && !this.#listened.has(row.key))
      .map((row) => row!);
    const listens = waits.length > 0;
    const tasks = dispatch.map((row) => ({ key: row.key, dueAt: row.wakeAt ?? this.time() }));
    if (!(await this.#flush(options, { to: 'suspend', dueAt: due, listens }, tasks))) return { next: 'lost' };
    for (const { key } of waits) this.#listened.add(key);
    if (this.on.probe) await this.on.probe.at('suspended', { runId: this.header.runId });
    const dispatched = this.#replay.open().filter((ask) => this.journal.get(ask.key)?.dispatched).length;
    const events = waits.map(({ event }) => event!);
    return { next: 'waiting', dueAt: this.#dueNow ? this.time() : due, waits: events, dispatched };
  }

  async #handOver(options: AdvanceOptions): Promise<ActivationEnd> {
    if (options.adopted()) {
      const dueAt = this.time();
      return (await this.#flush(options, { to: 'suspend', dueAt }))
        ? { next: 'waiting', dueAt, waits: [], dispatched: 0 }
        : { next: 'lost' };
    }
    return (await this.#flush(options, { to: 'continue' })) ? { next: 'continue' } : { next: 'lost' };
  }

  async #end(options: AdvanceOptions, next: Next): Promise<ActivationEnd> {
    if (!(await this.#flush(options, next))) return { next: 'lost' };
    if (next.to === 'suspend') return { next: 'waiting', dueAt: next.dueAt, waits: [], dispatched: 0 };
    if (this.on.probe) await this.on.probe.at('ended', { runId: this.header.runId });
    return { next: 'finished' };
  }

  /** One durable flush of everything new. False when the lease is lost: then nothing of it was stored. */
  async #flush(options: AdvanceOptions, next: Next, tasks: AdvanceCommit['tasks'] = []): Promise<boolean> {
    const { probe, writer } = this.on;
    if (probe) await probe.at('flush-sent', { runId: this.header.runId });
    const commit: AdvanceCommit = {
      ...options.lease,
      execution: this.header.execution,
      turn: options.guarded ? this.#turn : null,
      wantedSeen: this.#loaded.wanted,
      rows: this.#pending.rows,
      tasks,
      consumed: this.#pending.consumed,
      next,
    };
    const result = await writer.commit(commit).catch((error: unknown) => this.#unstorable(commit, error));
    if (result === 'lost') return false;
    if (result === 'due') this.#dueNow = true;
    this.#turn++;
    this.#pending.clear();
    if (probe) await probe.at('flush-durable', { runId: this.header.runId });
    return true;
  }

  /** The database refused a value of this commit: the step that gave it fails, and the run starts over from its journal. */
  async #unstorable(commit: AdvanceCommit, error: unknown): Promise<'lost'> {
    if (!WorkflowError.is(error, 'WF_NOT_STORABLE')) throw error;
    this.#logger.error(`Run ${this.header.runId}: ${error.message}`);
    const [first, last] = withoutCulprit(commit, error, this.time());
    await this.on.writer.commit(first!).catch((again: unknown) => {
      if (!last) throw again;
      return this.on.writer.commit(last);
    });
    return 'lost';
  }

  /** Gives the code everything journaled that it asks for: one answer, then the loop runs dry, then the next. */
  async #deliverAll(): Promise<void> {
    for (;;) {
      // asked as something else it stays undelivered: that is a mismatch, and no answer
      const row = this.journal.undelivered.find(
        ({ key, kind }) => this.#replay.find(key)?.request.kind === kind,
      );
      if (!row) return;
      this.journal.delivered(row);
      this.#compareArguments(row);
      this.#live = this.#ours.has(row.key);
      this.#lastEntryAt = Math.max(this.#lastEntryAt, row.finishedAt!);
      this.#replay.deliver(row.key, this.#outcomeOf(row));
      await turn();
    }
  }

  /** Another call of the same step may have taken the recorded one's place. */
  #compareArguments(row: JournalRow): void {
    const digest = this.#replay.find(row.key)?.request.digest;
    if (digest == null || row.digest === null || digest === row.digest) return;
    this.#logger.warn(
      `Step "${row.key}" of run ${this.header.runId} is called with other arguments than those it was recorded with; its recorded answer is given.`,
    );
  }

  #outcomeOf(row: JournalRow): Outcome {
    const answer = row.answer!;
    if (!answer.ok)
      return { ok: false, error: new StepFailedError(row.key, row.attempts, decodeFailure(answer.failure)) };
    if (row.kind === 'sleep') return { ok: true, value: undefined };
    if (row.kind !== 'wait') return { ok: true, value: this.on.codec.decode(answer.value) };
    const timedOut = row.eventId === null;
    return { ok: true, value: { timedOut, data: timedOut ? undefined : this.on.codec.decode(answer.value) } };
  }

  #takeArrivals(open: readonly Ask[]): boolean {
    const { rows, consumed } = arrivalsFor(this.journal, open, this.time());
    for (const row of rows) this.#put(row);
    this.#pending.consume(consumed);
    this.journal.consume(consumed);
    return rows.length > 0;
  }

  /** Waits get their row when they are asked. */
  #recordWaits(open: readonly Ask[]): void {
    for (const ask of open) {
      if (!isExecutable(ask) && !this.journal.get(ask.key)) this.#put(pendingRow(ask, this.time()));
    }
  }

  #put(asked: JournalRow): void {
    // in whole ms, so that ctx.now() does not depend on how the database rounds it
    const row = asked.finishedAt === null ? asked : { ...asked, finishedAt: Math.floor(asked.finishedAt) };
    this.journal.put(row);
    this.#ours.add(row.key);
    this.#pending.put(row);
  }

  #runState(): RunState {
    return {
      attempt: this.header.attempt,
      policy: resolveRetry(this.definition.retry),
      handlesFailure: this.definition.onFailure !== null,
      failed: this.#failure,
      now: this.time(),
      random: Math.random(),
    };
  }

  #settled(outcome: Outcome): Next | undefined {
    if (this.#failure && !outcome.ok) {
      const { message } = toFailure(outcome.error);
      this.#logger.error(`@OnFailure of run ${this.header.runId} failed: ${message}`);
    }
    return this.#follow(afterOutcome(outcome, this.#runState()));
  }

  /** How this activation ends; undefined when the @OnFailure method has been started instead. */
  #follow(transition: Transition): Next | undefined {
    const { runId, attempt } = this.header;
    switch (transition.to) {
      case 'completed':
        try {
          return {
            to: 'completed',
            result: this.on.codec.encode(transition.value, `result of run ${runId}`),
          };
        } catch (error) {
          return this.#follow(afterFailure(toFailure(error), this.#runState()));
        }
      case 'retry': {
        const { message } = transition.failure;
        this.#logger.warn(`Run ${runId} failed in attempt ${attempt} and is tried again: ${message}`);
        return { to: 'suspend', dueAt: transition.at, attempt: attempt + 1 };
      }
      case 'on-failure':
        this.#put(failureRow(transition.failure, this.position + 1, attempt, this.time()));
        this.#failure = transition.failure;
        this.#live = true;
        this.#start();
        return undefined;
      case 'failed':
        return { to: 'failed', error: encodeFailure(transition.failure) };
    }
  }

  /** What keeps `run` from going on; the @OnFailure method has no limits. */
  #limit(): WorkflowError | undefined {
    if (this.#failure) return undefined;
    const { runId, deadlineAt } = this.header;
    const { lost, gather } = this.#loaded;
    const { maxSteps, maxLosses } = this.on.config;
    const { position } = this;
    return limitReached({ runId, now: this.time(), deadlineAt, position, maxSteps, lost, maxLosses, gather });
  }

  /** After a late ask the code is given time, twice as much each time, before its asks are taken as complete. */
  async #gather(): Promise<boolean> {
    if (this.#gathered || this.#loaded.gather === 0) return false;
    this.#gathered = true;
    return this.#activity(FIRST_GATHER_MS * 2 ** (this.#loaded.gather - 1));
  }

  /** Nothing durable is asked and the code has not ended: it awaits something else, such as I/O of its own. */
  async #listen(): Promise<WorkflowError | undefined> {
    const { runId, workflow } = this.header;
    this.#logger.warn(
      `Run ${runId} of "${workflow}" awaits something that is not a durable call; it is repeated at each replay. Put it into a step.`,
    );
    const { activationTimeoutMs } = this.on.config;
    if (await this.#activity(activationTimeoutMs)) return undefined;
    return new WorkflowError(
      'WF_NO_PROGRESS',
      `Run ${runId} asked for nothing within ${activationTimeoutMs} ms`,
    );
  }

  /** True when the code asked for something or ended within the time. */
  async #activity(ms: number): Promise<boolean> {
    let callOff = (): void => {};
    const active = await new Promise<boolean>((resolve) => {
      this.#wake = () => resolve(true);
      callOff = this.on.clock.after(ms, () => resolve(false));
    });
    callOff();
    this.#wake = () => {};
    if (active) await turn();
    return active;
  }

  #start(): void {
    const prefix = this.#failure ? FAILURE_PREFIX : '';
    const replay = new Replay(prefix);
    this.#replay = replay;
    replay.onActivity = () => this.#wake();
    const { codec, effects, config } = this.on;
    this.#session = startCode(this.handler, this.#failure, {
      definition: this.definition,
      header: this.header,
      replay,
      codec,
      effects,
      steps: config.steps,
      isLive: () => this.#live && !this.journal.hasUnseen(prefix),
      lastEntryAt: () => this.#lastEntryAt,
      asked: (key) => this.#asked(replay, key),
    });
  }

  #asked(replay: Replay, key: string): void {
    this.journal.seen(key);
    if (replay !== this.#replay || (this.#state !== 'parked' && this.#state !== 'closed')) return;
    this.on.onLateAsk(this.header.execution, this.#state === 'closed');
    if (this.#state === 'closed') this.#state = 'dead';
  }
}

/** Microtasks run dry before the next turn of the loop: whatever the code does with an answer it has done by then. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
