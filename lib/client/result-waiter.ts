import { Inject, Injectable } from '@nestjs/common';
import { Clock, RunIntake, RunStore, type EndedRun } from '../ports/index.js';

const FIRST_POLL_MS = 200;
const MAX_POLL_MS = 2000;

/**
 * Awaits the end of many runs with one statement for all: when somebody says that runs have ended, and by polling behind
 * that (a notify may be lost, and none comes through a transaction pooler).
 */
@Injectable()
export class ResultWaiter {
  readonly #waiting = new Map<string, Set<(record: EndedRun) => void>>();
  #unsubscribe: (() => void) | undefined;
  #callOff: (() => void) | undefined;
  #lookAt = Infinity;
  #pollMs = FIRST_POLL_MS;
  #looking = false;
  #again = false;

  constructor(
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(RunIntake) private readonly intake: RunIntake,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** The ended run; null when `timeoutMs` (null: none) has passed before. */
  ended(runId: string, timeoutMs: number | null): Promise<EndedRun | null> {
    return new Promise((resolve) => {
      let callOff = (): void => {};
      const done = (record: EndedRun | null): void => {
        callOff();
        this.#remove(runId, done);
        resolve(record);
      };
      if (timeoutMs !== null) callOff = this.clock.after(timeoutMs, () => done(null));
      this.#add(runId, done);
    });
  }

  #add(runId: string, done: (record: EndedRun) => void): void {
    this.#waiting.set(runId, (this.#waiting.get(runId) ?? new Set()).add(done));
    this.#unsubscribe ??= this.intake.onEnded((run) => (run ? this.#tell(run) : this.#look()));
    this.#pollMs = FIRST_POLL_MS;
    // what is advanced here is told when it ends; it is read only when that does not come
    if (this.intake.isUnderWay(runId)) this.#lookIn(FIRST_POLL_MS);
    else this.#look();
  }

  #remove(runId: string, done: (record: EndedRun) => void): void {
    const all = this.#waiting.get(runId);
    all?.delete(done);
    if (all?.size === 0) this.#waiting.delete(runId);
    if (this.#waiting.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#callOff?.();
    this.#callOff = undefined;
    this.#lookAt = Infinity;
  }

  #tell(run: EndedRun): void {
    for (const done of this.#waiting.get(run.runId) ?? []) done(run);
  }

  #look(): void {
    this.#again = true;
    if (!this.#looking) void this.#lookAll();
  }

  async #lookAll(): Promise<void> {
    this.#looking = true;
    while (this.#again && this.#waiting.size > 0) {
      this.#again = false;
      // what ends in the same turn is read together
      await new Promise((resolve) => setImmediate(resolve));
      try {
        for (const record of await this.store.ended([...this.#waiting.keys()])) this.#tell(record);
      } catch {
        // the database is away: asked again at the next poll
      }
    }
    this.#looking = false;
    if (this.#waiting.size === 0) return;
    this.#lookIn(this.#pollMs);
    this.#pollMs = Math.min(MAX_POLL_MS, this.#pollMs * 2);
  }

  /** Never later than was meant before: with one caller after another a poll that is put off would never come. */
  #lookIn(ms: number): void {
    const at = this.clock.elapsed() + ms;
    if (at >= this.#lookAt) return;
    this.#callOff?.();
    this.#lookAt = at;
    this.#callOff = this.clock.after(ms, () => {
      this.#lookAt = Infinity;
      this.#look();
    });
  }
}
