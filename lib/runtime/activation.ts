import { Logger } from '@nestjs/common';
import type { WorkflowHandler } from '../authoring/index.js';
import { arrivalsFor, resultRow } from '../engine/arrivals.js';
import { NonDeterminismError } from '../engine/errors.js';
import { FAILURE_KEY, Journal, type JournalRow } from '../engine/journal.js';
import { LazySet } from '../engine/lazy.js';
import { isWait, mismatchIn, pendingRow, planFor, unstarted } from '../engine/plan.js';
import { patchRow, withNext } from '../engine/patch.js';
import type { Ask, Outcome } from '../engine/replay.js';
import { endedOf, PREFIXES } from '../engine/transition.js';
import { WorkflowError } from '../errors/index.js';
import type { AdvanceCommit, Lease, Loaded, RunHeader } from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import type { ActivationSession } from './activation-session.js';
import type {
  ActivationDependencies,
  ActivationEnd,
  AdvanceOptions,
  Next,
  Standing,
} from './activation.types.js';
import { startChildren } from './child-starts.js';
import { instantRow } from './instants.js';
import { LocalChildren } from './local-children.js';
import { lostTooOften } from './not-executed.js';
import { RunEnding } from './run-ending.js';
import { RunFlush } from './run-flush.js';
import { RunningCode, turn } from './running-code.js';
import { SideSteps, type EndedSideStep } from './side-steps.js';
import { stepRow } from './step-row.js';
import { STUCK_MS } from './stuck.js';

const logger = new Logger('Workflow');

const CONTINUE: Next = { to: 'continue' };
const LOST: ActivationEnd = { next: 'lost' };
const FIRST_GATHER_MS = 50;
/** Longer than the longest gather: what an activation took as asked, a replay of it asks within this time. */
const LATE_ASK_MS = 2000;

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
  readonly #code: RunningCode;
  #state: 'active' | 'parked' | 'closed' | 'dead' = 'active';
  #gatherUntil: number | undefined;
  /** asks that the last plan knew of */
  #planned = 0;
  readonly #flush: RunFlush;
  readonly #ending: RunEnding;
  readonly #side: SideSteps;
  #children: LocalChildren | undefined;
  #isTold = false;
  /** open waits for which kept events have been looked for; a replay in another process cannot know, and looks again */
  readonly #listened = new LazySet<string>();
  /** keys of new marks behind which nothing was asked yet */
  readonly #marks = new LazySet<string>();

  constructor(
    private readonly on: ActivationDependencies,
    private readonly definition: WorkflowDefinition,
    private readonly handler: WorkflowHandler<any, any>,
    loaded: Loaded,
    replayed = loaded.rows.length > 0 || loaded.header.attempt > 1,
  ) {
    this.header = loaded.header;
    this.#flush = new RunFlush(on, loaded);
    this.#merge(loaded);
    this.#code = new RunningCode(
      on,
      definition,
      handler,
      loaded.header,
      this.journal,
      replayed,
      (key) => {
        this.#markNext(key);
        this.#asked();
      },
      (count) => this.#flush.registered(count),
      (key, occurrence) => {
        this.#put(patchRow(key, occurrence, this.position + 1, this.time()));
        this.#marks.add(key);
      },
    );
    this.#ending = new RunEnding(on, definition, this.#code, this.#flush, {
      position: () => this.position,
      put: (row) => this.#put(row),
    });
    this.#side = new SideSteps(on, this.#code);
    this.#code.start(endedOf(this.journal.get(FAILURE_KEY)));
  }

  get position(): number {
    return this.journal.position;
  }

  /** True once the run has failed and what comes after `run` runs: what that had asked for concerns nobody any more. */
  isAbandoned(key: string): boolean {
    const { phase } = this.#code;
    return phase !== 'run' && !key.startsWith(PREFIXES[phase]);
  }

  /** Commits made under the present fence. */
  get turn(): number {
    return this.#flush.turn;
  }

  /**
   * Whether the parked code can go on from this load: it belongs to that very execution and attempt, and what comes after
   * `run` has not been begun by another process. Its `run` would take in answers that came after its end.
   */
  fits({ header: { execution, attempt, version }, rows }: Loaded): boolean {
    const { header } = this;
    const same = header.execution === execution && header.attempt === attempt && header.version === version;
    return same && (this.#code.ended !== undefined || !rows.some(({ key }) => key === FAILURE_KEY));
  }

  /** Takes in a later load of the same run: the parked code goes on from there. */
  refresh(loaded: Loaded): void {
    this.#flush.refresh(loaded);
    this.#gatherUntil = undefined;
    this.#state = 'active';
    this.#merge(loaded);
    for (const { key } of this.#code.open()) this.journal.seen(key);
  }

  #merge({ rows, inbox }: Loaded): void {
    this.journal.merge(rows, inbox);
    if (inbox.length === 0) return;
    // of children that have told it in memory as well
    const spent = new Set(this.journal.spent.map(({ id }) => id));
    this.#flush.pending.consume(spent);
    this.journal.consume(spent);
  }

  /** Its parent, which waits in this process, was told how it has ended, and sees to the mark. */
  get isTold(): boolean {
    return this.#isTold;
  }

  park(): void {
    this.#state = 'parked';
    this.#checkLate();
  }

  /** Suspended and not kept: what the code asks from now on is neither executed nor settled; the run is looked at again. */
  close(): void {
    this.#state = 'closed';
    this.#checkLate();
  }

  /** Ended, lost or replaced: what this code still asks concerns nobody. */
  discard(): void {
    this.#state = 'dead';
  }

  /** Only replays: for the delivery of a step task, which needs the call and its arguments. */
  async replayOnly(): Promise<void> {
    await turn();
    if (this.#hasPast) await this.#recall();
    for (;;) {
      await this.#code.deliverAll();
      this.#planned = this.#code.asked;
      // from the compensations to the @OnFailure method: decided, and nothing new to be written
      const { phase, outcome } = this.#code;
      if (phase !== 'rollback' || !outcome || this.#ending.settled(outcome)) return;
    }
  }

  /** The run has ended, or is cancelled from outside: there is something to recall. */
  get #hasPast(): boolean {
    return this.#code.ended !== undefined || this.#flush.loaded.header.cancelling;
  }

  /**
   * Brings the code to where the run stands. Once it has ended, what it has registered to be undone is known to its code only:
   * it is replayed up to there. Of a run that is cancelled from outside, what steps have answered before counts, and nothing
   * new is asked. False: the code does not register any more what it had.
   */
  async #recall(): Promise<boolean> {
    const { phase, ended } = this.#code;
    if (phase !== 'run') return true;
    if (ended) {
      if (!(await this.#registers(ended.rollbacks))) return false;
      this.#code.startAfterRun('rollback', ended);
      return true;
    }
    do await this.#code.deliverAll();
    while (
      this.#takeArrivals(this.#code.open().filter(({ key }) => this.journal.get(key)?.state === 'answered'))
    );
    return this.#registers(this.#flush.loaded.header.rollbacks);
  }

  #registers(rollbacks: number): Promise<boolean> {
    return this.#code.deliverUntil(() => this.#code.rollbacks >= rollbacks, LATE_ASK_MS);
  }

  /** Only replays, until the code asks for this key: code that awaits I/O of its own does so only after a while. */
  async replayUntil(key: string): Promise<ReturnType<Activation['find']>> {
    this.discard();
    await turn();
    await this.#code.deliverUntil(() => this.find(key) !== undefined, LATE_ASK_MS);
    return this.find(key);
  }

  /** What the code asks for at this moment, and whether it has ended: replays of one journal stand alike. */
  get standing(): Standing {
    const { outcome, exit } = this.#code;
    return { open: this.#code.open(), outcome, exit };
  }

  /** The same code once more, answered from this journal: to be compared with this one, never to be advanced. */
  async shadow(): Promise<Activation> {
    const loaded: Loaded = { ...this.#flush.loaded, header: this.header, rows: this.journal.rows, inbox: [] };
    const shadow = new Activation(this.on, this.definition, this.handler, loaded, true);
    await shadow.replayOnly();
    return shadow;
  }

  /** The open call with this key, to be executed as a step task. */
  find(key: string): { ask: Ask; session: ActivationSession } | undefined {
    const ask = this.#code.find(key);
    return ask && { ask, session: this.#code.session };
  }

  /** ms of the database's clock, as far as it can be known here. */
  time(): number {
    return this.#flush.time();
  }

  /** What still executes beside the code concerns nobody: called whenever `advance` is over, however it went. */
  abandon(lease: Lease): void {
    this.#side.abandon(lease);
    this.#children?.abandon();
  }

  /** Goes on until the run waits, ends, or the budget is used up; the caller abandons what is left then. */
  async advance(options: AdvanceOptions): Promise<ActivationEnd> {
    let executed = 0;
    // what undoes a run, or handles its failure, has no limit but this: the step that keeps killing its processes is given up
    const deadly = this.#code.ended !== undefined && this.#flush.loaded.lost >= this.on.config.maxLosses;
    await turn();
    if (this.#hasPast && !(await this.#recall())) return this.#end(options, this.#stuck(this.#forgotten()));
    // one that has failed before is undone to the end, and nothing comes after that
    if (this.#flush.loaded.header.cancelling && this.#code.phase !== 'rollback') {
      const next = this.#ending.cancelled();
      if (next) return this.#end(options, next);
    }
    // nothing is awaited here that need not be: with AsyncLocalStorage on Node 20 promises are most of what a step costs
    for (;;) {
      while (this.#code.deliverNext()) await turn();
      const code = this.#code;
      const passed = code.passesOver && (await code.passedOver(LATE_ASK_MS));
      this.#planned = code.asked;
      if (passed) return this.#end(options, this.#stuck(this.#older(passed)));
      if (code.exit || code.outcome) {
        this.#side.abandon(options.lease);
        this.#children?.leave();
        const next = code.exit ? this.#ending.left(code.exit) : this.#ending.settled(code.outcome!);
        // as `#end`, without its promises: every run comes by here
        if (next) return (await this.#send(options, next)) ? endAt(next) : LOST;
        continue;
      }
      const open = code.open();
      const mismatch = mismatchIn(this.journal, open, this.header.runId);
      if (mismatch) return this.#end(options, this.#stuck(mismatch));
      // first what the code waits for by now, then what has arrived: an event goes to every open wait
      this.#recordWaits(open);
      if (this.#answerInstants(open) || this.#takeArrivals(open) || this.#takeEnds()) continue;
      const limit = this.#ending.limit();
      // whatever the code has done during an await since it was looked at wakes nobody any more
      if (!limit && ((this.#gathers && (await this.#gather())) || this.#hasMoved)) continue;
      const ended = this.#side.take();
      if (ended.length > 0) {
        if (!(await this.#recordSide(ended))) return LOST;
        continue;
      }
      const plan = planFor(
        this.journal,
        open,
        this.time(),
        this.#mayFanOut(options) ? this.#side : undefined,
      );
      const stop = limit ?? (plan.do === 'listen' ? await this.#code.listen() : undefined);
      if (stop) {
        this.#side.abandon(options.lease);
        this.#children?.leave();
        const next = this.#ending.failed(stop);
        if (next) return this.#end(options, next);
      }
      if (stop || plan.do === 'listen') continue;
      if (plan.do === 'suspend') {
        const children = unstarted(this.journal, open);
        if (children.length > 0) {
          if (!(await this.#startChildren(children, options))) return LOST;
          continue;
        }
        if (plan.dispatch.length === 0 && (await this.#waitHere(open, options))) continue;
        for (const row of plan.dispatch) this.#put(row);
        return this.#suspend(options, plan.dispatch, plan.dueAt);
      }
      if (plan.do === 'start') {
        if (!(await this.#startBeside(plan.asks, open, options))) return LOST;
        continue;
      }
      if (executed >= (this.#paced ? 1 : options.budget) || options.adopted()) return this.#handOver(options);
      if (!this.#flush.pending.isEmpty && !(await this.#send(options, CONTINUE))) return LOST;
      executed++;
      const { ask, attempt } = plan;
      const startedAt = this.time();
      const outcome =
        deadly && executed === 1
          ? lostTooOften(`Step "${ask.key}"`, this.#flush.loaded.lost)
          : await this.on.steps.run(this.#code.session, ask, attempt, this.header, options.lease);
      if (outcome === 'abandoned') return LOST;
      if (this.on.probe) await this.on.probe.at('step-executed', { runId: this.header.runId, step: ask.key });
      const retryAt = this.#record(ask, attempt, startedAt, outcome);
      if (retryAt !== null) return this.#suspend(options, [], retryAt);
    }
  }

  get #hasMoved(): boolean {
    const { outcome, exit, asked } = this.#code;
    return outcome !== undefined || exit !== undefined || asked !== this.#planned;
  }

  /**
   * Over HTTP parallel steps are calls of their own. With flow control each is claimed. What has cost a process already gets a task of
   * its own, so that it is known which of the steps it was. What comes after `run` is done one by one.
   */
  #mayFanOut({ guarded }: AdvanceOptions): boolean {
    const { lost, gather, keyed } = this.#flush.loaded;
    return (
      this.on.config.sideSteps &&
      !guarded &&
      !keyed &&
      lost === 0 &&
      gather === 0 &&
      this.#code.phase === 'run'
    );
  }

  /** Starts these beside those that execute, and waits until something has happened. False: the lease is lost. */
  async #startBeside(asks: readonly Ask[], open: readonly Ask[], options: AdvanceOptions): Promise<boolean> {
    // also with nothing to be started: what has ended is durable before what takes longer has
    if (!(await this.#flushed(options))) return false;
    const { session } = this.#code;
    for (const ask of asks) this.#side.start(ask, session, this.header, options.lease, this.time());
    // whatever the code has done meanwhile wakes nobody any more
    if (this.#hasMoved) return true;
    const waiting = open.filter(({ key }) => !this.#side.executes(key)).length;
    const { deadlineAt } = this.header;
    await this.#side.next(waiting, deadlineAt === null ? Infinity : deadlineAt - this.time());
    return true;
  }

  /** False: the lease is lost. */
  async #recordSide(ended: readonly EndedSideStep[]): Promise<boolean> {
    const { probe } = this.on;
    if (ended.some(({ outcome }) => outcome === 'abandoned')) return false;
    for (const { ask, startedAt, outcome } of ended) {
      if (probe) await probe.at('step-executed', { runId: this.header.runId, step: ask.key });
      this.#record(ask, 1, startedAt, outcome as Outcome);
    }
    return true;
  }

  get #paced(): boolean {
    return this.#flush.loaded.paced === true;
  }

  /** Kept until fitting code is deployed, and looked at again now and then. */
  #stuck(why: Error): Next {
    logger.error(why.message);
    return { to: 'suspend', dueAt: this.time() + STUCK_MS, stuck: why.message };
  }

  #older({ key }: JournalRow): WorkflowError {
    const { runId, workflow } = this.header;
    return new WorkflowError(
      'WF_NON_DETERMINISM',
      `Run ${runId} of "${workflow}" has gone the way of newer code (${key}), which this code does not know`,
    );
  }

  /** A mark says what came next, if that is known by the flush that stores it. */
  #markNext(asked: string): void {
    for (const key of this.#marks.values()) {
      if (this.#flush.pending.has(key)) this.#put(withNext(this.journal.get(key)!, asked));
    }
    this.#marks.clear();
  }

  #forgotten(): NonDeterminismError {
    const { runId, rollbacks } = this.#flush.loaded.header;
    const was = `run with ${this.#code.ended?.rollbacks ?? rollbacks} rollbacks`;
    return new NonDeterminismError(runId, FAILURE_KEY, was, `run with ${this.#code.rollbacks}`);
  }

  /** Nothing that has an effect starts before everything it may depend on is durable. */
  async #flushed(options: AdvanceOptions): Promise<boolean> {
    return this.#flush.pending.isEmpty || this.#send(options, CONTINUE);
  }

  #send(options: AdvanceOptions, next: Next, tasks?: AdvanceCommit['tasks']): Promise<boolean> {
    const children = this.#children;
    const sent = children?.owes
      ? this.#sendAfter(children, options, next, tasks)
      : this.#flush.send(options, next, this.journal.delegated, tasks);
    if (this.header.child) this.#tell(next, sent);
    return sent;
  }

  /** What ends of children have led to is durable after they are, or never. */
  async #sendAfter(
    children: LocalChildren,
    options: AdvanceOptions,
    next: Next,
    tasks: AdvanceCommit['tasks'] | undefined,
  ): Promise<boolean> {
    if (!(await children.durable())) return false;
    if (!(await this.#flush.send(options, next, this.journal.delegated, tasks))) return false;
    children.paid();
    return true;
  }

  #tell(next: Next, sent: Promise<boolean>): void {
    const { ends } = this.on;
    const { execution } = this.header;
    if (next.to === 'completed')
      this.#isTold = ends.tell({ kind: 'completed', data: next.result }, execution, sent);
    else if (next.to === 'failed')
      this.#isTold = ends.tell({ kind: 'failed', data: next.error }, execution, sent);
  }

  /** Children of this run that execute in this process are waited for here, for a moment. False: they are not, or not any more. */
  async #waitHere(open: readonly Ask[], options: AdvanceOptions): Promise<boolean> {
    if (!this.#children?.mayWaitFor(open) || !this.#mayFanOut(options)) return false;
    // whatever the code has done meanwhile wakes nobody any more
    if (this.#hasMoved) return true;
    const { deadlineAt } = this.header;
    await this.#children.next(deadlineAt === null ? Infinity : deadlineAt - this.time());
    return true;
  }

  #takeEnds(): boolean {
    const ended = this.#children?.take();
    if (!ended?.length) return false;
    for (const { key, end } of ended) {
      const row = resultRow(this.journal.get(key)!, end, this.time());
      this.#put({ ...row, position: this.position + 1 });
      this.journal.toldHere(key);
    }
    return true;
  }

  async #startChildren(asks: readonly Ask[], options: AdvanceOptions): Promise<boolean> {
    if (!(await this.#flushed(options))) return false;
    const onHere = (key: string, execution: string): void => {
      this.#children ??= new LocalChildren(this.on, this.#code);
      this.#children.add(key, execution);
    };
    const rows = await startChildren(asks, () => this.time(), onHere);
    if (this.on.probe) await this.on.probe.at('children-started', { runId: this.header.runId });
    for (const row of rows ?? []) this.#put(row);
    return rows !== null;
  }

  /** Puts what an attempt has led to into the journal; when it is to be tried again, null when it is answered. */
  #record(ask: Ask, attempt: number, startedAt: number, outcome: Outcome): number | null {
    const { row, retryAt } = stepRow({
      before: this.journal.get(ask.key) ?? pendingRow(ask, startedAt),
      outcome,
      attempt,
      ask,
      codec: this.on.codec,
      startedAt,
      now: this.time(),
      random: this.on.chance.fraction(),
    });
    this.#put(
      retryAt === null
        ? { ...row, state: 'journaled', position: this.position + 1, wakeAt: null }
        : { ...row, wakeAt: retryAt },
    );
    return retryAt;
  }

  async #suspend(
    options: AdvanceOptions,
    dispatch: readonly JournalRow[],
    dueAt: number | null,
  ): Promise<ActivationEnd> {
    this.#children?.leave();
    const deadline = this.header.deadlineAt;
    const due = deadline === null || this.#code.ended ? dueAt : Math.min(dueAt ?? Infinity, deadline);
    const waits = this.#code.open().flatMap(({ key }) => {
      const event = this.journal.get(key)?.event;
      return event == null || this.#listened.has(key) ? [] : [{ key, event }];
    });
    const listens = waits.length > 0;
    const tasks = dispatch.map(({ key, kind, wakeAt }) => ({
      key,
      kind: kind === 'call' ? ('call' as const) : ('step' as const),
      dueAt: wakeAt ?? this.time(),
      flow: this.#code.find(key)?.request.flow ?? null,
      ...(this.#side.executes(key) && { owner: this.on.worker }),
    }));
    if (!(await this.#send(options, { to: 'suspend', dueAt: due, listens }, tasks))) return LOST;
    const left = this.#side.leave();
    for (const { key } of waits) this.#listened.add(key);
    if (this.on.probe) await this.on.probe.at('suspended', { runId: this.header.runId });
    const dispatched = this.#code.open().filter((ask) => this.journal.get(ask.key)?.dispatched).length;
    const events = waits.map(({ event }) => event);
    return { next: 'waiting', dueAt: this.#flush.due ? this.time() : due, waits: events, dispatched, left };
  }

  async #handOver(options: AdvanceOptions): Promise<ActivationEnd> {
    // each step of a paced run needs a start of its own: it goes back into its line
    if (options.adopted() || this.#paced) {
      const dueAt = this.time();
      return (await this.#send(options, { to: 'suspend', dueAt }))
        ? { next: 'waiting', dueAt, waits: [], dispatched: 0, left: [] }
        : LOST;
    }
    return (await this.#send(options, CONTINUE)) ? { next: 'continue' } : LOST;
  }

  async #end(options: AdvanceOptions, next: Next): Promise<ActivationEnd> {
    return (await this.#send(options, next)) ? endAt(next) : LOST;
  }

  #takeArrivals(open: readonly Ask[]): boolean {
    const { rows, consumed } = arrivalsFor(this.journal, open, this.time());
    if (rows.length === 0) return false;
    for (const row of rows) this.#put(row);
    this.#flush.pending.consume(consumed);
    this.journal.consume(consumed);
    return true;
  }

  /** Waits get their row when they are asked. */
  #recordWaits(open: readonly Ask[]): void {
    for (const ask of open) {
      if (isWait(ask) && !this.journal.get(ask.key)) this.#put(pendingRow(ask, this.time()));
    }
  }

  /** What needs nobody is answered as it is asked; like every answer it is durable before anything with an effect starts. */
  #answerInstants(open: readonly Ask[]): boolean {
    let answered = false;
    for (const ask of open) {
      if (ask.request.instant === undefined || this.journal.get(ask.key)) continue;
      this.#put(instantRow(ask, this.position + 1, this.on.codec, this.time()));
      answered = true;
    }
    return answered;
  }

  #put(asked: JournalRow): void {
    // in whole ms, so that ctx.now() does not depend on how the database rounds it
    const { finishedAt } = asked;
    const isWhole = finishedAt === null || Number.isInteger(finishedAt);
    const row = isWhole ? asked : { ...asked, finishedAt: Math.floor(finishedAt) };
    this.journal.put(row);
    this.#code.found(row.key);
    this.#flush.pending.put(row);
  }

  get #gathers(): boolean {
    return this.#flush.loaded.gather > 0;
  }

  /** After a late ask the code is given time, twice as much each time, before its asks are taken as complete. */
  async #gather(): Promise<boolean> {
    const { gather } = this.#flush.loaded;
    const now = this.on.clock.elapsed();
    this.#gatherUntil ??= now + FIRST_GATHER_MS * 2 ** (gather - 1);
    return now < this.#gatherUntil && this.#code.activity(this.#gatherUntil - now);
  }

  /** The code may have asked for something during the very flush that suspended it. */
  #checkLate(): void {
    if (this.#code.asked > this.#planned) this.#asked();
  }

  #asked(): void {
    // code that has ended leaves at most abandoned branches behind
    if (this.#code.outcome || (this.#state !== 'parked' && this.#state !== 'closed')) return;
    this.on.onLateAsk(this.header.execution, this.#state === 'closed');
    if (this.#state === 'closed') this.#state = 'dead';
  }
}

/** What is reached with the flush that ends the activation. */
const endAt = (next: Next): ActivationEnd =>
  next.to === 'suspend'
    ? { next: 'waiting', dueAt: next.dueAt, waits: [], dispatched: 0, left: [] }
    : { next: 'finished', how: next };
