import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import { withIdempotencyKey, type CallRequest } from '../engine/call.js';
import { FAILURE_KEY, type JournalRow } from '../engine/journal.js';
import type { Outcome } from '../engine/replay.js';
import { PREFIXES } from '../engine/transition.js';
import { CallPerformer, Chance, Clock, Codec, Probe, type Loaded, type Task } from '../ports/index.js';
import { CallTasks } from './call-tasks.js';
import { RuntimeConfig } from './config.js';
import { JournalWriter } from './journal-writer.js';
import { lostTooOften, runFailedBefore } from './not-executed.js';
import { Signals } from './signals.js';
import { answerStep } from './step-answer.js';
import { stepRow } from './step-row.js';
import { idempotencyKey, StepRunner, type StepEnd } from './step-runner.js';

/** Everything beyond the position a load asks for: of the journal nothing but what a call has to know. */
const NO_ROWS = 2 ** 31 - 1;
/** Until a task is looked at again on which something here went wrong. */
const AGAIN_MS = 1000;

/**
 * Makes external calls. Nothing but the row of the step is needed for one: no code of the workflow, no activation. A call whose
 * process dies in the middle is made again: at least once, with the same idempotency key.
 */
@Injectable()
export class ExternalCalls extends CallTasks {
  readonly #logger = new Logger('Workflow');
  readonly #underWay = new Set<AbortController>();
  #over = false;

  constructor(
    private readonly writer: JournalWriter,
    private readonly performer: CallPerformer,
    private readonly steps: StepRunner,
    private readonly signals: Signals,
    private readonly codec: Codec,
    private readonly clock: Clock,
    private readonly chance: Chance,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
    @Optional() private readonly probe?: Probe,
  ) {
    super();
  }

  get limit(): number {
    return this.config.calls.concurrency;
  }

  async execute(task: Task): Promise<number | null> {
    try {
      return (await this.#make(task)) ? null : 0;
    } catch (error) {
      this.#logger.warn(
        `The call "${task.step}" of run ${task.runId} is made again: ${(error as Error).message}`,
      );
      return AGAIN_MS;
    }
  }

  cutOff(): void {
    this.#over = true;
    for (const cut of this.#underWay) cut.abort(new Error('This process is shutting down'));
  }

  /** False when nothing was stored: the lease is lost, the run was cancelled, or the call was cut off. */
  async #make(task: Task): Promise<boolean> {
    const { taskId, fence } = task;
    const loaded = await this.writer.load({ taskId, fence, position: NO_ROWS });
    const before = loaded?.rows.find(({ key }) => key === task.step);
    if (!loaded || !before) return false;
    const { probe } = this;
    const detail = { runId: task.runId, step: before.key };
    const request = this.codec.decode(before.request!) as CallRequest;
    const attempt = before.attempts + 1;
    const started = this.clock.sqlElapsed();
    const outcome =
      refusal(before, loaded, this.config.maxLosses) ?? (await this.#call(task, loaded, request));
    if (outcome === 'abandoned') return false;
    if (probe) await probe.at('step-executed', detail);
    const now = loaded.now + (this.clock.sqlElapsed() - started);
    const { row, retryAt } = stepRow({
      before,
      outcome,
      attempt,
      ask: { key: before.key, order: 0, request: { kind: 'call', name: before.name, retry: request.retry } },
      codec: this.codec,
      now,
      startedAt: loaded.now,
      random: this.chance.fraction(),
    });
    if (probe) await probe.at('answer-sent', detail);
    const { execution } = loaded.header;
    const result = await answerStep(this.writer, { taskId, fence, execution, row, retryAt });
    if (probe) await probe.at('answer-durable', detail);
    if (result === 'lost') return false;
    if (retryAt === null) this.signals.announceDue();
    else this.signals.noteDue(retryAt - now);
    return true;
  }

  async #call(task: Task, { header }: Loaded, request: CallRequest): Promise<StepEnd> {
    if (this.#over || !this.steps.mayStart(task)) return 'abandoned';
    const keyed = withIdempotencyKey(request, idempotencyKey(header, task.step!));
    const cut = new AbortController();
    const stopWatching = this.steps.watch(header.execution, task, (reason) => cut.abort(reason));
    this.#underWay.add(cut);
    try {
      return await this.performer.perform(keyed, cut.signal);
    } catch (error) {
      if (cut.signal.aborted) return 'abandoned';
      throw error;
    } finally {
      this.#underWay.delete(cut);
      stopWatching();
    }
  }
}

/** Why a call is not made any more: its process was lost too often, or the run has failed and handles its failure. */
function refusal({ key }: JournalRow, { rows, lost }: Loaded, maxLosses: number): Outcome | undefined {
  const failed = rows.some((row) => row.key === FAILURE_KEY);
  if (failed && !key.startsWith(PREFIXES['on-failure'])) {
    return runFailedBefore();
  }
  if (lost < maxLosses) return undefined;
  return lostTooOften(`Call "${key}"`, lost);
}
