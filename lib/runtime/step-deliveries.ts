import { Inject, Injectable, Logger } from '@nestjs/common';
import { encodeFailure, toFailure } from '../engine/failure.js';
import { pendingRow } from '../engine/plan.js';
import { WorkflowError } from '../errors/index.js';
import {
  Clock,
  RunStore,
  type Delivery,
  type DeliveryReply,
  type Lease,
  type Loaded,
} from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import type { Activation } from './activation.js';
import { ActivationCache } from './activation-cache.js';
import { ActivationFactory } from './activation-factory.js';
import { RuntimeConfig } from './config.js';
import { isFor } from './is-for.js';
import { JournalWriter } from './journal-writer.js';
import { Leases } from './leases.js';
import { lostTooOften, runFailedBefore } from './not-executed.js';
import { StepAnswers } from './step-answers.js';
import { STUCK_MS } from './stuck.js';
import { StepRunner } from './step-runner.js';

/** Everything beyond the position a load asks for: none of the journaled rows. */
const NO_ROWS = 2 ** 31 - 1;

/** What was read longer ago than this says nothing of now. */
const FRESH_MS = 1000;

/** Deliveries of step tasks: the code is replayed up to the call, which is then executed and answered. */
@Injectable()
export class StepDeliveries {
  readonly #logger = new Logger('Workflow');

  constructor(
    private readonly store: RunStore,
    private readonly writer: JournalWriter,
    private readonly factory: ActivationFactory,
    private readonly cache: ActivationCache,
    private readonly steps: StepRunner,
    private readonly leases: Leases,
    private readonly answers: StepAnswers,
    private readonly clock: Clock,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
  ) {}

  async execute(delivery: Delivery, key: string, definition: WorkflowDefinition): Promise<DeliveryReply> {
    const { runId, taskId, fence } = delivery;
    const lease = { taskId, fence };
    const { life } = this.leases;
    const begun = this.clock.elapsed();
    let activation = this.cache.peek(runId);
    const known = activation?.find(key) !== undefined;
    const loaded = await this.writer.load({ taskId, fence, position: known ? NO_ROWS : 0 });
    if (!loaded || !isFor(loaded, delivery)) return { next: 'stale' };
    if (!known || activation?.header.execution !== loaded.header.execution) {
      activation = await this.cache.build(runId, () => this.#replayed(definition, loaded));
    }
    const asked = activation.find(key);
    if (!asked && activation.isAbandoned(key)) return this.#abandon(lease, loaded, key);
    const found = asked ?? (await this.#askedLate(definition, delivery, key));
    if (!found) return this.#stuck(lease, runId, key);
    // swapped out since then, or long at a replay: a copy of this delivery may have been executed elsewhere, under this very lease
    if (this.clock.elapsed() - begun > FRESH_MS && !(await this.#isStillDue(lease))) return { next: 'stale' };
    const { header } = loaded;
    this.leases.executing(lease, header.execution, life);
    const before = loaded.rows.find((row) => row.key === key) ?? pendingRow(found.ask, loaded.now);
    const attempt = before.attempts + 1;
    const started = this.clock.sqlElapsed();
    const outcome =
      loaded.lost >= this.config.maxLosses
        ? lostTooOften(`Step "${key}"`, loaded.lost)
        : await this.steps.run(found.session, found.ask, attempt, header, lease);
    if (outcome === 'abandoned') return { next: 'stale' };
    const startedAt = loaded.now;
    return this.answers.give({ lease, header, ask: found.ask, before, attempt, startedAt, started }, outcome);
  }

  async #isStillDue(lease: Lease): Promise<boolean> {
    return (await this.writer.load({ ...lease, position: NO_ROWS })) !== null;
  }

  /** Kept until fitting code is deployed, or another instance has it; looked at again now and then. */
  async #stuck(lease: Lease, runId: string, key: string): Promise<DeliveryReply> {
    const why = new WorkflowError(
      'WF_NON_DETERMINISM',
      `Step "${key}" of run ${runId} is recorded, but the code does not ask for it`,
    );
    this.#logger.error(why.message);
    await this.store.release([lease], STUCK_MS, why.message);
    return { next: 'waiting', dueInMs: STUCK_MS };
  }

  /** The run has failed and handles its failure: a step that `run` had asked for is not executed any more. */
  async #abandon(lease: Lease, loaded: Loaded, key: string): Promise<DeliveryReply> {
    const before = loaded.rows.find((row) => row.key === key);
    if (!before) return { next: 'stale' };
    const failure = encodeFailure(toFailure(runFailedBefore().error));
    const row = { ...before, answer: { ok: false as const, failure }, finishedAt: loaded.now };
    const { execution } = loaded.header;
    const { taskId, fence } = lease;
    const result = await this.writer.answer({ taskId, fence, execution, row, retryAt: null });
    return { next: result === 'lost' ? 'stale' : 'done' };
  }

  async #replayed(definition: WorkflowDefinition, loaded: Loaded): Promise<Activation> {
    const activation = await this.factory.make(definition, loaded);
    await activation.replayOnly();
    const { runId } = loaded.header;
    this.cache.park(runId, activation);
    // not kept, it is only looked into: what it asks later is no news, the activation that made the task knew it
    if (this.cache.peek(runId) !== activation) activation.discard();
    return activation;
  }

  /** The call as a replay of its own finds it: nothing else may advance the code while it is waited for. */
  async #askedLate(
    definition: WorkflowDefinition,
    { taskId, fence }: Delivery,
    key: string,
  ): Promise<ReturnType<Activation['find']>> {
    const loaded = await this.writer.load({ taskId, fence, position: 0 });
    return loaded ? (await this.factory.make(definition, loaded)).replayUntil(key) : undefined;
  }
}
