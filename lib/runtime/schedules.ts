import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import { decideSchedule } from '../engine/schedule.js';
import { timesOf } from '../authoring/index.js';
import {
  Clock,
  RunIntake,
  RunStore,
  ScheduleStore,
  revisionOf,
  type DueScheduleRecord,
  type DueSchedules,
  type ScheduleMove,
  type ScheduleStart,
} from '../ports/index.js';
import { WorkflowRegistry } from '../registry/index.js';
import { RuntimeConfig } from './config.js';
import { DeclaredSchedules } from './declared-schedules.js';
import { Inspector } from './inspector.js';
import { Leases } from './leases.js';
import { ScheduledRuns } from './scheduled-runs.js';
import { Signals } from './signals.js';

/** Schedules that are decided on together, in one transaction. */
const BATCH = 100;
/** Bounds of one transaction: runs, and characters of their payloads. What is beyond follows in the next one. */
const MOST_RUNS = 1000;
const MOST_TEXT = 8 * 1024 * 1024;
/** Timers of longer than 24 days overflow. */
const LONGEST_SLEEP_MS = 3_600_000;
/** However quiet it is, and whatever nobody told: a schedule may have been made by a process whose signal was lost. */
const LOOK_AGAIN_MS = 30_000;
/** Between two looks for runs that a queued time waits for: on a busy system runs end all the time. */
const ENDED_PAUSE_MS = 100;

type Revision = Parameters<typeof revisionOf>[0];

/** What one round of looks came to. */
export interface ScheduleRound {
  /** something was started, or passed over */
  readonly moved: boolean;
  /** the next time of any schedule, in ms of the database's clock */
  readonly nextAt: number | null;
}

/**
 * Starts the runs of schedules whose time has come. One timer sleeps until the earliest of them. Every process that serves a
 * workflow looks after its schedules: whoever is first moves the row on and inserts the run, in one transaction.
 */
@Injectable()
export class ScheduleRunner {
  readonly #logger = new Logger('Workflow');
  /** revisions that are left alone until then */
  readonly #held = new Map<string, number>();
  #running = false;
  #timer: (() => void) | undefined;
  #lookedAt = -Infinity;
  #queued = false;
  /** looks are made one after the other; those that are asked for meanwhile share the next one */
  #current: Promise<ScheduleRound> | undefined;
  #next: Promise<ScheduleRound> | undefined;
  #unsubscribe: (() => void)[] = [];

  constructor(
    private readonly store: ScheduleStore,
    private readonly runStore: RunStore,
    private readonly registry: WorkflowRegistry,
    private readonly declarations: DeclaredSchedules,
    private readonly runs: ScheduledRuns,
    private readonly intake: RunIntake,
    private readonly signals: Signals,
    private readonly leases: Leases,
    private readonly clock: Clock,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
    @Optional() private readonly inspector?: Inspector,
  ) {}

  /** Begins to start what is due. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#unsubscribe = [
      this.signals.on('schedules', () => void this.look()),
      this.signals.on('ended', () => {
        if (!this.#queued) return;
        this.#queued = false;
        this.#sleep(ENDED_PAUSE_MS);
      }),
      // an idle process sends no statement more for it
      this.leases.inRounds(() => this.#lookAgain()),
    ];
    void this.look();
  }

  /** Nothing is started from now on. Resolves when what is under way has ended. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#current;
    await this.#next;
  }

  /** Starts all that is due now. Never rejects: what failed is tried again later. */
  look(): Promise<ScheduleRound> {
    if (!this.#current) return this.#begin();
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<ScheduleRound> {
    this.#current = this.#lookAll().finally(() => {
      this.#current = undefined;
    });
    return this.#current;
  }

  async #lookAll(): Promise<ScheduleRound> {
    const names = this.registry.names();
    if (!this.#running || names.length === 0) return { moved: false, nextAt: null };
    this.#lookedAt = this.clock.elapsed();
    try {
      let moved = false;
      for (;;) {
        const found = await this.store.due(names, this.declarations.computed, this.#heldNow(), BATCH);
        if (found.due.length > 0 && this.#running) {
          await this.#start(found);
          moved = true;
          continue;
        }
        this.#queued = found.queued;
        this.#sleepUntil(found);
        return { moved, nextAt: found.nextAt };
      }
    } catch (error) {
      this.#logger.warn(`Schedules were not looked after, trying on: ${(error as Error).message}`);
      this.#sleep(this.config.pollMs);
      return { moved: false, nextAt: null };
    }
  }

  async #start({ due, now }: DueSchedules): Promise<void> {
    const moves = due.flatMap((schedule) => this.#decided(schedule, now) ?? []);
    for (const batch of batchesOf(moves)) await this.#moveAll(batch);
  }

  async #moveAll(moves: readonly ScheduleMove[]): Promise<void> {
    try {
      await this.#move(moves);
    } catch (error) {
      if (this.runStore.fault(error) === 'transient') throw error;
      // one of them is held up or refused: each alone, so that it keeps no other from its time
      for (const move of moves) await this.#moveAlone(move);
    }
  }

  async #moveAlone(move: ScheduleMove): Promise<void> {
    try {
      await this.#move([move]);
    } catch (error) {
      if (this.runStore.fault(error) === 'transient') throw error;
      this.#failed(move, error);
    }
  }

  async #move(moves: readonly ScheduleMove[]): Promise<void> {
    const { moved, cancelled } = await this.store.move(moves);
    if (cancelled.length > 0) {
      this.intake.abort(cancelled);
      this.intake.announceEnded();
      this.intake.settle();
    }
    const own = new Set(moved);
    const started = moves.filter(({ id }) => own.has(id)).flatMap(({ starts }) => starts);
    if (started.length > 0) this.intake.announceDue();
    if (started.some(({ run }) => run.singleton)) this.intake.settle();
    // another process is at them; should it die there, this one comes back
    for (const move of moves) if (!own.has(move.id)) this.#hold(move, this.config.pollMs);
  }

  #decided(schedule: DueScheduleRecord, now: number): ScheduleMove | undefined {
    try {
      const { id, revision, lastRunId } = schedule;
      const decision = decideSchedule(timesOf(schedule), { ...schedule, now });
      const starts: ScheduleStart[] = [];
      let text = 0;
      for (const at of decision.starts) {
        if (text > MOST_TEXT) break;
        const run = this.runs.of(schedule, at);
        starts.push({ at, run });
        text += run.payload.length;
      }
      return {
        id,
        revision,
        // of more than one, each is started: the first that is left is the next
        nextAt: decision.starts[starts.length] ?? decision.nextAt,
        starts,
        cancel: decision.cancelPrevious ? lastRunId : null,
      };
    } catch (error) {
      this.#failed(schedule, error);
      return undefined;
    }
  }

  #failed(schedule: Revision, error: unknown): void {
    if (this.runStore.fault(error) === 'blocked') return this.#hold(schedule, this.config.pollMs);
    this.inspector?.unscheduled(error);
    this.#logger.error(
      `Schedule "${schedule.id}" could not be started, trying on: ${error instanceof Error ? error.message : String(error)}`,
    );
    this.#hold(schedule, LOOK_AGAIN_MS);
  }

  /** Left alone for a while, or until it is changed: others are due as well. */
  #hold(schedule: Revision, ms: number): void {
    this.#held.set(revisionOf(schedule), this.clock.elapsed() + ms);
  }

  #heldNow(): string[] {
    const elapsed = this.clock.elapsed();
    for (const [revision, until] of this.#held) if (until <= elapsed) this.#held.delete(revision);
    return [...this.#held.keys()];
  }

  #sleepUntil({ nextAt, now, queued }: DueSchedules): void {
    this.#timer?.();
    this.#timer = undefined;
    const waits = [
      ...(nextAt === null ? [] : [nextAt - now]),
      ...(queued ? [this.config.pollMs] : []),
      ...[...this.#held.values()].map((until) => until - this.clock.elapsed()),
    ];
    if (waits.length > 0) this.#sleep(Math.min(...waits));
  }

  #sleep(ms: number): void {
    if (!this.#running) return;
    this.#timer?.();
    this.#timer = this.clock.after(
      Math.min(Math.max(0, Math.ceil(ms)), LONGEST_SLEEP_MS),
      () => void this.look(),
    );
  }

  /** False when it is not time yet. */
  async #lookAgain(): Promise<boolean> {
    if (this.clock.elapsed() - this.#lookedAt < LOOK_AGAIN_MS) return false;
    await this.look();
    return true;
  }
}

/** Each within the bounds of a transaction, or of one schedule alone. */
function batchesOf(moves: readonly ScheduleMove[]): ScheduleMove[][] {
  const batches: ScheduleMove[][] = [];
  let [runs, text] = [Infinity, 0];
  for (const move of moves) {
    const moveText = move.starts.reduce((sum, { run }) => sum + run.payload.length, 0);
    if (runs + move.starts.length > MOST_RUNS || text + moveText > MOST_TEXT) {
      batches.push([]);
      [runs, text] = [0, 0];
    }
    batches.at(-1)!.push(move);
    runs += move.starts.length;
    text += moveText;
  }
  return batches;
}
