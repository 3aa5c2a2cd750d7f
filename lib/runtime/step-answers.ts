import { Injectable, Optional } from '@nestjs/common';
import type { JournalRow } from '../engine/journal.js';
import type { Ask, Outcome } from '../engine/replay.js';
import {
  Chance,
  Clock,
  Codec,
  Probe,
  type DeliveryReply,
  type Lease,
  type RunHeader,
} from '../ports/index.js';
import { JournalWriter } from './journal-writer.js';
import { Signals } from './signals.js';
import { answerStep } from './step-answer.js';
import { stepRow } from './step-row.js';

/** An attempt of a step under a task of its own. */
export interface StepAttempt {
  readonly lease: Lease;
  readonly header: RunHeader;
  readonly ask: Ask;
  /** its row as it was before */
  readonly before: JournalRow;
  readonly attempt: number;
  /** ms of the database's clock, and of this process' (`Clock.sqlElapsed`) at the same moment */
  readonly startedAt: number;
  readonly started: number;
}

/** Stores what an attempt under a task of its own has come to: an answer, or when it is tried again. */
@Injectable()
export class StepAnswers {
  constructor(
    private readonly writer: JournalWriter,
    private readonly signals: Signals,
    private readonly codec: Codec,
    private readonly clock: Clock,
    private readonly chance: Chance,
    @Optional() private readonly probe?: Probe,
  ) {}

  async give(executed: StepAttempt, outcome: Outcome): Promise<DeliveryReply> {
    const { lease, header, ask, before, attempt, startedAt, started } = executed;
    const { runId, execution } = header;
    if (this.probe) await this.probe.at('step-executed', { runId, step: ask.key });
    const now = startedAt + (this.clock.sqlElapsed() - started);
    const random = this.chance.fraction();
    const { row, retryAt } = stepRow({
      before,
      outcome,
      attempt,
      ask,
      codec: this.codec,
      startedAt,
      now,
      random,
    });
    if (this.probe) await this.probe.at('answer-sent', { runId, step: ask.key });
    const { taskId, fence } = lease;
    const result = await answerStep(this.writer, { taskId, fence, execution, row, retryAt });
    if (this.probe) await this.probe.at('answer-durable', { runId, step: ask.key });
    if (result === 'lost') return { next: 'stale' };
    if (retryAt !== null) return { next: 'waiting', dueInMs: retryAt - now };
    this.signals.announceDue();
    return { next: 'done' };
  }
}
