import { Logger } from '@nestjs/common';
import { encodeFailure, toFailure } from '../engine/failure.js';
import type { JournalRow } from '../engine/journal.js';
import type { Exit, Outcome } from '../engine/replay.js';
import {
  afterCancel,
  afterFailure,
  afterOutcome,
  endedRow,
  limitReached,
  type RunState,
  type Transition,
} from '../engine/transition.js';
import type { WorkflowError } from '../errors/index.js';
import type { RunHeader } from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import type { ActivationDependencies, Next } from './activation.types.js';
import type { RunFlush } from './run-flush.js';
import type { RunningCode } from './running-code.js';

const logger = new Logger('Workflow');

/** Brings what the engine decides at the end of a run's code to the code, the journal and the last flush. */
export class RunEnding {
  constructor(
    private readonly on: Pick<ActivationDependencies, 'codec' | 'config' | 'chance'>,
    private readonly definition: WorkflowDefinition,
    private readonly code: RunningCode,
    private readonly flush: RunFlush,
    private readonly journal: { readonly position: () => number; readonly put: (row: JournalRow) => void },
  ) {}

  get #header(): RunHeader {
    return this.flush.loaded.header;
  }

  #runState(): RunState {
    return {
      attempt: this.#header.attempt,
      policy: this.definition.retry,
      handlesFailure: this.definition.onFailure !== null,
      phase: this.code.phase,
      rollbacks: this.code.rollbacks,
      ended: this.code.ended,
      cancelling: this.#header.cancelling,
      now: this.flush.time(),
      random: this.on.chance.fraction(),
    };
  }

  /** How the activation ends when the code has ended; undefined when what comes after it has been started instead. */
  settled(outcome: Outcome): Next | undefined {
    if (this.code.phase === 'on-failure' && !outcome.ok) {
      const { message } = toFailure(outcome.error);
      logger.error(`@OnFailure of run ${this.#header.runId} failed: ${message}`);
    }
    return this.#follow(afterOutcome(outcome, this.#runState()));
  }

  /** The same when the code has left before its end. */
  left(exit: Exit): Next | undefined {
    if (exit.to === 'cancelled') return this.cancelled();
    return { to: 'continued', payload: exit.payload, deadlineInMs: this.definition.timeoutMs };
  }

  /** The same when the run is cancelled, from inside or outside. */
  cancelled(): Next | undefined {
    return this.#follow(afterCancel(this.#header.runId, this.#runState()));
  }

  #follow(transition: Transition): Next | undefined {
    const { runId, attempt } = this.#header;
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
        logger.warn(`Run ${runId} failed in attempt ${attempt} and is tried again: ${message}`);
        if (transition.warning !== undefined) logger.warn(`Run ${runId}: ${transition.warning}`);
        return { to: 'suspend', dueAt: transition.at, attempt: attempt + 1 };
      }
      case 'rollback':
      case 'on-failure': {
        const { to, ended } = transition;
        if (!this.code.ended)
          this.journal.put(endedRow(ended, this.journal.position() + 1, attempt, this.flush.time()));
        this.code.startAfterRun(to, ended);
        return undefined;
      }
      case 'cancelled':
        return { to: 'cancelled' };
      case 'failed':
        return { to: 'failed', error: encodeFailure(transition.failure) };
    }
  }

  /** The same when the run may not go on. */
  failed(error: WorkflowError): Next | undefined {
    return this.#follow(afterFailure(toFailure(error), this.#runState()));
  }

  /** What keeps `run` from going on; what comes after it has no limits. */
  limit(): WorkflowError | undefined {
    if (this.code.ended) return undefined;
    const { runId, deadlineAt } = this.#header;
    const { lost, gather } = this.flush.loaded;
    const { maxSteps, maxLosses } = this.on.config;
    const position = this.journal.position();
    return limitReached({
      runId,
      now: this.flush.time(),
      deadlineAt,
      position,
      maxSteps,
      lost,
      maxLosses,
      gather,
    });
  }
}
