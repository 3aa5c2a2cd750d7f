import { Logger } from '@nestjs/common';
import type { Rollback, WorkflowHandler } from '../authoring/index.js';
import { NO_VALUE } from '../engine/arrivals.js';
import { ChildFailedError, StepFailedError } from '../engine/errors.js';
import { decodeFailure } from '../engine/failure.js';
import type { Journal, JournalRow } from '../engine/journal.js';
import { isPatched, passedOver } from '../engine/patch.js';
import { Replay, type Ask, type Exit, type Outcome } from '../engine/replay.js';
import { PREFIXES, type Ended, type Phase } from '../engine/transition.js';
import { WorkflowError } from '../errors/index.js';
import type { Clock, Codec, RunEffects, RunHeader } from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import type { ActivationSession } from './activation-session.js';
import type { RuntimeConfig } from './config.js';
import { startCode } from './start-code.js';

const logger = new Logger('Workflow');

export interface CodeDependencies {
  readonly codec: Codec;
  readonly effects: RunEffects;
  readonly clock: Clock;
  readonly config: RuntimeConfig;
}

const NOTHING = (): void => {};

let next: Promise<void> | undefined;

/**
 * Microtasks run dry before the next turn of the loop: whatever the code does with an answer it has done by then. All who ask
 * during one turn share a promise.
 */
export const turn = (): Promise<void> =>
  (next ??= new Promise((resolve) => {
    setImmediate(() => {
      next = undefined;
      resolve();
    });
  }));

/** The code of one run as it runs here: given its answers one by one, and watched for what it asks. */
export class RunningCode {
  #replay!: Replay;
  #session!: ActivationSession;
  #phase: Phase = 'run';
  #ended: Ended | undefined;
  #rollbacks: Rollback[] = [];
  #live: boolean;
  #lastEntryAt: number;
  /** keys whose answer was found here, not loaded: what the code does with them it does for the first time */
  readonly #ours = new Set<string>();
  /** keys that were asked for, and those of the calls of `ctx.patched` */
  readonly #asked = new Set<string>();
  /** called when the code asks for something, or ends */
  onActivity: () => void = NOTHING;

  /**
   * @param replayed true: what the code does until its first new answer was done before
   * @param onAsk called with each key that the code in force asks for
   * @param onPatch called where changed code takes its new way for the first time: leaves the mark
   * @param onRollback called with the number of compensations that are registered, when one is
   */
  constructor(
    private readonly on: CodeDependencies,
    private readonly definition: WorkflowDefinition,
    private readonly handler: WorkflowHandler<any, any>,
    private readonly header: RunHeader,
    private readonly journal: Journal,
    replayed: boolean,
    private readonly onAsk: (key: string) => void,
    private readonly onRollback: (count: number) => void,
    private readonly onPatch: (key: string, occurrence: number) => void,
  ) {
    this.#live = !replayed;
    this.#lastEntryAt = header.createdAt;
  }

  /**
   * Starts `run`; of a run that has ended (`ended`) it is only recalled, for what it has registered to be undone, or (when
   * there is nothing) the @OnFailure method is started in its place.
   */
  start(ended?: Ended): void {
    this.#ended = ended;
    this.#begin(ended && ended.rollbacks === 0 ? 'on-failure' : 'run');
  }

  #begin(phase: Phase): void {
    this.#phase = phase;
    const prefix = PREFIXES[phase];
    const replay = new Replay(prefix);
    this.#replay = replay;
    replay.onActivity = () => this.onActivity();
    const { codec, effects, config } = this.on;
    const isLive = (): boolean => this.#live && !this.journal.hasUnseen(prefix);
    this.#session = startCode(
      this.handler,
      phase,
      this.#ended && { ended: this.#ended, rollbacks: this.#rollbacks },
      {
        definition: this.definition,
        header: this.header,
        replay,
        codec,
        effects,
        steps: config.steps,
        callTimeoutMs: config.calls.timeoutMs,
        onRollback:
          phase === 'run'
            ? (rollback) => replay === this.#replay && this.onRollback(this.#rollbacks.push(rollback))
            : undefined,
        isPatched: (key, occurrence) => {
          this.#asked.add(key);
          if (isLive() && replay === this.#replay && !this.journal.get(key)) this.onPatch(key, occurrence);
          return isPatched(this.journal.get(key), occurrence);
        },
        isLive,
        lastEntryAt: () => this.#lastEntryAt,
        asked: (key) => {
          this.journal.seen(key);
          this.#asked.add(key);
          if (replay === this.#replay) this.onAsk(key);
        },
      },
    );
  }

  /** Begins to undo what `run` has registered, or its @OnFailure method: what they do, they do for the first time. */
  startAfterRun(phase: Exclude<Phase, 'run'>, ended: Ended): void {
    // recalled after a crash, or come to by replay, it is not known yet whether it is the first time
    this.#live ||= this.#ended === undefined;
    this.#ended = ended;
    // a branch that `run` left behind may have registered more since: what is undone, under which keys, is decided
    this.#rollbacks = this.#rollbacks.slice(0, ended.rollbacks);
    this.#begin(phase);
  }

  /** Gives the code its answers until it has come so far; what awaits I/O of its own does so only after a while. False: it does not. */
  async deliverUntil(reached: () => boolean, patienceMs: number): Promise<boolean> {
    const until = this.on.clock.elapsed() + patienceMs;
    for (;;) {
      await this.deliverAll();
      if (reached()) return true;
      const left = until - this.on.clock.elapsed();
      if (left <= 0 || !(await this.activity(left))) return false;
    }
  }

  /** A mark in the journal that this code must be older than; code that awaits I/O of its own is given time to come to it. */
  async passedOver(patienceMs: number): Promise<JournalRow | undefined> {
    if (!this.outcome) await this.deliverUntil(() => !this.passesOver, patienceMs);
    return this.passesOver;
  }

  /** The same as it looks at this moment. */
  get passesOver(): JournalRow | undefined {
    return passedOver(this.journal.patches, PREFIXES[this.#phase], (key) => this.#asked.has(key));
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** How `run` has ended, in the phases after it and while it is recalled. */
  get ended(): Ended | undefined {
    return this.#ended;
  }

  /** Compensations registered so far. */
  get rollbacks(): number {
    return this.#rollbacks.length;
  }

  get outcome(): Outcome | undefined {
    return this.#replay.outcome;
  }

  get exit(): Exit | undefined {
    return this.#replay.exit;
  }

  get session(): ActivationSession {
    return this.#session;
  }

  /** Number of asks ever made. */
  get asked(): number {
    return this.#replay.asked;
  }

  /** What is asked and not answered, in the order asked. */
  open(): Ask[] {
    return this.#replay.open();
  }

  find(key: string): Ask | undefined {
    return this.#replay.find(key);
  }

  /** The answer of this key was found here and now. */
  found(key: string): void {
    this.#ours.add(key);
  }

  /** Gives the code everything journaled that it asks for: one answer, then the loop runs dry, then the next. */
  async deliverAll(): Promise<void> {
    while (this.deliverNext()) await turn();
  }

  /** True when there was something to give; the caller lets the loop run dry then. */
  deliverNext(): boolean {
    // asked as something else it stays undelivered: that is a mismatch, and no answer
    const row = this.journal.undelivered.find(({ key, kind }) => this.find(key)?.request.kind === kind);
    if (!row) return false;
    this.journal.delivered(row);
    this.#compareArguments(row);
    this.#live = this.#ours.has(row.key);
    this.#lastEntryAt = Math.max(this.#lastEntryAt, row.finishedAt!);
    this.#replay.deliver(row.key, this.#outcomeOf(row));
    return true;
  }

  /** True when the code asked for something or ended within the time. */
  async activity(ms: number): Promise<boolean> {
    let callOff = (): void => {};
    const active = await new Promise<boolean>((resolve) => {
      this.onActivity = () => resolve(true);
      callOff = this.on.clock.after(ms, () => resolve(false));
    });
    callOff();
    this.onActivity = NOTHING;
    if (active) await turn();
    return active;
  }

  /** Nothing durable is asked and the code has not ended: it awaits something else, such as I/O of its own. */
  async listen(): Promise<WorkflowError | undefined> {
    const { runId, workflow } = this.header;
    logger.warn(
      `Run ${runId} of "${workflow}" awaits something that is not a durable call; it is repeated at each replay. Put it into a step.`,
    );
    const { activationTimeoutMs } = this.on.config;
    if (await this.activity(activationTimeoutMs)) return undefined;
    return new WorkflowError(
      'WF_NO_PROGRESS',
      `Run ${runId} asked for nothing within ${activationTimeoutMs} ms`,
    );
  }

  /** Another call of the same step may have taken the recorded one's place. */
  #compareArguments(row: JournalRow): void {
    const digest = this.find(row.key)?.request.digest;
    if (digest == null || row.digest === null || digest === row.digest) return;
    logger.warn(
      `Step "${row.key}" of run ${this.header.runId} is called with other arguments than those it was recorded with; its recorded answer is given.`,
    );
  }

  #outcomeOf({ key, kind, attempts, eventId, answer, request }: JournalRow): Outcome {
    if (!answer!.ok) {
      const failure = decodeFailure(answer!.failure);
      // a child that was started has a run id; one that could not be is a step that has failed
      const started = kind === 'invoke' && request !== null;
      return {
        ok: false,
        error: started
          ? new ChildFailedError(key, request, failure)
          : new StepFailedError(key, attempts, failure),
      };
    }
    if (kind === 'sleep') return { ok: true, value: undefined };
    const { codec } = this.on;
    if (kind === 'poll') {
      const late = answer!.value === NO_VALUE;
      return { ok: true, value: { timedOut: late, value: late ? undefined : codec.decode(answer!.value) } };
    }
    if (kind !== 'wait') return { ok: true, value: codec.decode(answer!.value) };
    const timedOut = eventId === null;
    return { ok: true, value: { timedOut, data: timedOut ? undefined : codec.decode(answer!.value) } };
  }
}
