import { Logger } from '@nestjs/common';
import { WorkflowError } from '../errors/index.js';
import type { AdvanceCommit, CommitResult, Loaded, Probe } from '../ports/index.js';
import type { ActivationDependencies, AdvanceOptions, Next } from './activation.types.js';
import { PendingFlush, withoutCulprit } from './pending-flush.js';

const logger = new Logger('Workflow');

const NO_TASKS: AdvanceCommit['tasks'] = [];

/** The durable side of an activation: what it was loaded with, what it has not stored yet, and the flush of that. */
export class RunFlush {
  readonly pending = new PendingFlush();
  #loaded: Loaded;
  #loadedAt: number;
  #turn: number;
  #due = false;

  constructor(
    private readonly on: Pick<ActivationDependencies, 'writer' | 'clock' | 'probe'>,
    loaded: Loaded,
  ) {
    this.#loaded = loaded;
    this.#loadedAt = on.clock.sqlElapsed();
    this.#turn = loaded.turn;
  }

  refresh(loaded: Loaded): void {
    this.#loaded = loaded;
    this.#loadedAt = this.on.clock.sqlElapsed();
    this.#turn = loaded.turn;
    this.#due = false;
  }

  get loaded(): Loaded {
    return this.#loaded;
  }

  /** Commits made under the present fence. */
  get turn(): number {
    return this.#turn;
  }

  /** The last flush was told that something had arrived meanwhile. */
  get due(): boolean {
    return this.#due;
  }

  /** ms of the database's clock, as far as it can be known here. */
  time(): number {
    return this.#loaded.now + (this.on.clock.sqlElapsed() - this.#loadedAt);
  }

  /** A replay registers again what the header knows already. */
  registered(rollbacks: number): void {
    if (rollbacks > this.#loaded.header.rollbacks) this.pending.registered(rollbacks);
  }

  /**
   * One durable flush of everything new. False when the lease is lost: then nothing of it was stored.
   * @param delegated something of the run was left to other tasks or to children
   */
  send(
    options: AdvanceOptions,
    next: Next,
    delegated: boolean,
    tasks: AdvanceCommit['tasks'] = NO_TASKS,
  ): Promise<boolean> {
    const write = (): Promise<boolean> => this.#write(this.#commitOf(options, next, delegated, tasks));
    return this.on.probe ? this.#probed(this.on.probe, write) : write();
  }

  async #probed(probe: Probe, write: () => Promise<boolean>): Promise<boolean> {
    const { runId } = this.#loaded.header;
    await probe.at('flush-sent', { runId });
    const isWritten = await write();
    if (isWritten) await probe.at('flush-durable', { runId });
    return isWritten;
  }

  #write(commit: AdvanceCommit): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (result: CommitResult): void => {
        if (result === 'lost') return resolve(false);
        if (result === 'due') this.#due = true;
        this.#turn++;
        this.pending.clear();
        resolve(true);
      };
      const refused = (error: unknown): void => {
        resolve(this.#unstorable(commit, error));
      };
      this.on.writer.enqueueCommit(commit, done, refused);
    });
  }

  /** Every field by its name: an object that begins with a spread grows field by field, and was the dearest one of a step. */
  #commitOf(
    { lease, guarded }: AdvanceOptions,
    next: Next,
    delegated: boolean,
    tasks: AdvanceCommit['tasks'],
  ): AdvanceCommit {
    const { pending } = this;
    const { header, wanted, keyed } = this.#loaded;
    const { rollbacks, consumed } = pending;
    const ends = next.to === 'completed' || next.to === 'failed';
    const goesOn =
      next.to === 'continue' ||
      (next.to === 'suspend' && next.attempt === undefined && next.stuck === undefined);
    const alone = tasks.length === 0 && consumed.length === 0 && rollbacks === null;
    return {
      taskId: lease.taskId,
      fence: lease.fence,
      lean: alone && keyed !== true && (goesOn || (ends && !delegated)),
      execution: header.execution,
      turn: guarded ? this.#turn : null,
      wantedSeen: wanted,
      rows: pending.rows,
      tasks,
      consumed,
      rollbacks,
      next,
    };
  }

  /** The database refused a value of this commit: the step that gave it fails, and the run starts over from its journal. */
  async #unstorable(commit: AdvanceCommit, error: unknown): Promise<false> {
    if (!WorkflowError.is(error, 'WF_NOT_STORABLE')) throw error;
    logger.error(`Run ${this.#loaded.header.runId}: ${error.message}`);
    for (const inTurn of withoutCulprit(commit, error, this.time())) {
      const made = await this.#firstStorable(inTurn);
      if (made.next.to === 'failed') break;
    }
    return false;
  }

  async #firstStorable([first, ...others]: readonly AdvanceCommit[]): Promise<AdvanceCommit> {
    try {
      await this.on.writer.commit(first!);
      return first!;
    } catch (error) {
      if (others.length === 0) throw error;
      return this.#firstStorable(others);
    }
  }
}
