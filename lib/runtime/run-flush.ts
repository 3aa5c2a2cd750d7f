import { Logger } from '@nestjs/common';
import { WorkflowError } from '../errors/index.js';
import type { AdvanceCommit, Loaded } from '../ports/index.js';
import type { ActivationDependencies, AdvanceOptions, Next } from './activation.types.js';
import { PendingFlush, withoutCulprit } from './pending-flush.js';

/** The durable side of an activation: what it was loaded with, what it has not stored yet, and the flush of that. */
export class RunFlush {
  readonly pending = new PendingFlush();
  #loaded: Loaded;
  #loadedAt: number;
  #turn: number;
  #due = false;
  readonly #logger = new Logger('Workflow');

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

  /** One durable flush of everything new. False when the lease is lost: then nothing of it was stored. */
  async send(options: AdvanceOptions, next: Next, tasks: AdvanceCommit['tasks'] = []): Promise<boolean> {
    const { probe, writer } = this.on;
    const { execution, runId } = this.#loaded.header;
    if (probe) await probe.at('flush-sent', { runId });
    const commit: AdvanceCommit = {
      ...options.lease,
      execution,
      turn: options.guarded ? this.#turn : null,
      wantedSeen: this.#loaded.wanted,
      rows: this.pending.rows,
      tasks,
      consumed: this.pending.consumed,
      rollbacks: this.pending.rollbacks,
      next,
    };
    const result = await writer.commit(commit).catch((error: unknown) => this.#unstorable(commit, error));
    if (result === 'lost') return false;
    if (result === 'due') this.#due = true;
    this.#turn++;
    this.pending.clear();
    if (probe) await probe.at('flush-durable', { runId });
    return true;
  }

  /** The database refused a value of this commit: the step that gave it fails, and the run starts over from its journal. */
  async #unstorable(commit: AdvanceCommit, error: unknown): Promise<'lost'> {
    if (!WorkflowError.is(error, 'WF_NOT_STORABLE')) throw error;
    this.#logger.error(`Run ${this.#loaded.header.runId}: ${error.message}`);
    const [first, last] = withoutCulprit(commit, error, this.time());
    await this.on.writer.commit(first!).catch((again: unknown) => {
      if (!last) throw again;
      return this.on.writer.commit(last);
    });
    return 'lost';
  }
}
