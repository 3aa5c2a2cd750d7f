import { Inject, Injectable, type Type } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import {
  checkName,
  eventId,
  type Args,
  type EventRef,
  type NotifyResult,
  type PayloadOf,
  type ResultOf,
  type WorkflowHandler,
} from '../authoring/index.js';
import { parseDuration, type Duration } from '../engine/duration.js';
import { RunCancelledError, RunFailedError } from '../engine/errors.js';
import { decodeFailure } from '../engine/failure.js';
import { given } from '../engine/given.js';
import { shown } from '../engine/shown.js';
import { WorkflowError } from '../errors/index.js';
import {
  Codec,
  RunIntake,
  RunStore,
  type RunFilter,
  type EndedRun,
  type RunRecord,
  type RunStatus,
} from '../ports/index.js';
import { checkLimit, checkOptions, listOf, timeOf, workflowName } from './arguments.js';
import { WorkflowCommands } from './commands.js';
import { WorkflowFlowControls } from './flow-control.js';
import { ResultWaiter } from './result-waiter.js';
import { toEntry, toRun } from './run-view.js';
import { WorkflowSchedules } from './schedules.js';
import { refuseInRun } from './side-effects.js';
import type {
  ClientNotifyOptions,
  ClientTriggerOptions,
  JournalEntry,
  ListQuery,
  Run,
  RunHandle,
  RunPage,
  RunQuery,
  TriggerItem,
  Waiter,
} from './types.js';

/**
 * The way into the engine from controllers, jobs and steps. Inside `run` of a workflow its mutations throw
 * WF_SIDE_EFFECT_IN_RUN: there they would be repeated at each replay.
 */
@Injectable()
export class WorkflowClient {
  constructor(
    @Inject(WorkflowCommands) private readonly commands: WorkflowCommands,
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(RunIntake) private readonly intake: RunIntake,
    @Inject(ResultWaiter) private readonly waiter: ResultWaiter,
    @Inject(Codec) private readonly codec: Codec,
    /** runs that are started by time: create, get, list, pause, resume, trigger, delete */
    @Inject(WorkflowSchedules) readonly schedules: WorkflowSchedules,
    @Inject(WorkflowFlowControls) readonly flowControl: WorkflowFlowControls,
  ) {}

  /**
   * Starts a run, durably: once this resolves the run reaches its end, whatever crashes. Idempotent by `runId`: the same id,
   * workflow and payload give the same run, `created: false`.
   * @throws WorkflowError WF_UNKNOWN_WORKFLOW, WF_RUN_EXISTS (same id, other payload or workflow), WF_NOT_SERIALIZABLE,
   * WF_TOO_LARGE, WF_INVALID_ARGUMENT, WF_INVALID_DURATION, WF_INVALID_FLOW_CONTROL, WF_MANAGER_FOREIGN, WF_SIDE_EFFECT_IN_RUN; nothing is written then
   */
  async trigger<W extends WorkflowHandler<any, any> = WorkflowHandler<unknown, unknown>>(
    workflow: Type<W> | string,
    ...args: Args<PayloadOf<W>, ClientTriggerOptions>
  ): Promise<RunHandle<PayloadOf<W>, ResultOf<W>>> {
    refuseInRun('trigger');
    const [payload, options] = args as [unknown, ClientTriggerOptions | undefined];
    const { header, created } = await this.commands.start(workflow, payload, options);
    return this.#handle(header.runId, created);
  }

  /** Starts many runs in one statement: all of them, or (on bad input) none. The order is kept. */
  async triggerMany<W extends WorkflowHandler<any, any>>(
    workflow: Type<W> | string,
    items: readonly TriggerItem<W>[],
    options: { manager?: EntityManager } = {},
  ): Promise<RunHandle<PayloadOf<W>, ResultOf<W>>[]> {
    refuseInRun('triggerMany');
    const triggered = await this.commands.startMany(workflow, items, options);
    return triggered.map(({ header, created }) => this.#handle(header.runId, created));
  }

  /** A handle to a run by its id; nothing is read or checked. */
  run<W extends WorkflowHandler<any, any> = WorkflowHandler<unknown, unknown>>(
    _workflow: Type<W> | string,
    runId: string,
  ): RunHandle<PayloadOf<W>, ResultOf<W>> {
    return this.#handle(checkName(runId, 'The run id'), false, false);
  }

  /** @throws WorkflowError WF_RUN_NOT_FOUND */
  async get(runId: string): Promise<Run> {
    return toRun(await this.#find(runId), this.codec);
  }

  /** Newest first, in pages. @throws WorkflowError WF_INVALID_ARGUMENT for a limit or cursor that is none */
  async list(query: ListQuery = {}): Promise<RunPage> {
    const { limit, before, filter } = given('The query', () => pageOf(query));
    const records = await this.store.list(filter, limit + 1, before);
    const runs = records.slice(0, limit).map((record) => toRun(record, this.codec) as Run);
    return records.length > limit ? { runs, cursor: records[limit - 1]!.execution } : { runs };
  }

  /** What the run has done and what it waits for, in order. @throws WorkflowError WF_RUN_NOT_FOUND */
  async journal(runId: string): Promise<JournalEntry[]> {
    const rows = await this.store.journal(checkName(runId, 'The run id'));
    if (!rows) throw notFound(runId);
    return rows.map((row) => toEntry(row, this.codec));
  }

  /**
   * Cancels one run, many, or all that a filter finds; runs that have ended stay as they are. An empty filter is refused.
   * A run that has something to undo (`ctx.onRollback`) is `cancelling` from now on, and ends as cancelled when that is done.
   * @returns the ids of the runs that were cancelled by this call
   */
  async cancel(runs: string | readonly string[] | RunQuery): Promise<{ cancelled: string[] }> {
    refuseInRun('cancel');
    const ended = await this.store.cancel(given('The selection of runs', () => selectionOf(runs)));
    this.intake.abort(ended.map(({ execution }) => execution));
    if (ended.length > 0) {
      this.intake.announceEnded();
      this.intake.settle();
    }
    return { cancelled: ended.map(({ runId }) => runId) };
  }

  /**
   * Lets runs that are stuck be tried at once, which happens by itself every 30 s. With a `version` (null: the class without one) a
   * run goes on in that version of its workflow from now on, stuck or not: the code must be able to replay its journal.
   * @returns the ids of the runs that were resumed; those that have ended, or (without a version) are not stuck, are left alone
   * @throws WorkflowError WF_INVALID_ARGUMENT, WF_RUN_NOT_FOUND and WF_UNKNOWN_WORKFLOW (with a version), WF_SIDE_EFFECT_IN_RUN
   */
  async resume(
    runs: string | readonly string[],
    options: { version?: string | null } = {},
  ): Promise<{ resumed: string[] }> {
    refuseInRun('resume');
    const { runIds, version } = given('What `resume` is given', () => ({
      runIds: listOf(Array.isArray(runs) ? runs : [runs], 'The list of runs', (runId) =>
        checkName(runId, 'The run id'),
      ),
      version: versionOf(checkOptions(options, 'The options of `resume`')),
    }));
    return { resumed: await this.commands.resume(runIds, version) };
  }

  /**
   * Sends an event to every run that waits for it, or (with `runId`) to one run, which keeps it until it waits for it or ends.
   * With `keepFor`, runs that begin to wait within that time get it too, each once.
   */
  async notify<T>(
    event: EventRef<T>,
    data: NoInfer<T>,
    options: ClientNotifyOptions = {},
  ): Promise<NotifyResult> {
    refuseInRun('notify');
    return this.commands.send(event, data, options);
  }

  /** The runs that wait for an event now, longest first. */
  async getWaiters(event: EventRef<unknown>): Promise<Waiter[]> {
    const records = await this.store.waiters(eventId(event));
    return records.map(({ runId, workflow, step, since, timeoutAt }) => ({
      runId,
      workflow,
      step,
      since: new Date(since),
      timeoutAt: timeoutAt === null ? null : new Date(timeoutAt),
    }));
  }

  /** @param isKnown the run is there: it was triggered just now */
  #handle<P, R>(runId: string, created: boolean, isKnown = true): RunHandle<P, R> {
    return {
      runId,
      created,
      result: (options) => this.#result<R>(runId, isKnown, options),
      get: async () => toRun<P, R>(await this.#find(runId), this.codec),
      cancel: async () => {
        const { cancelled } = await this.cancel(runId);
        if (cancelled.length === 0) await this.#find(runId);
      },
      notify: (event, data) => this.notify(event, data, { runId }),
    };
  }

  async #result<R>(runId: string, isKnown: boolean, options: { timeout?: Duration } | undefined): Promise<R> {
    const ms = given('The options of `result`', () =>
      options?.timeout === undefined ? null : parseDuration(options.timeout),
    );
    let record: EndedRun | null = isKnown ? null : await this.#endedNow(runId);
    // a run that is advanced here is told when it ends; any other is looked for at once, by one statement for all
    record ??= await this.waiter.ended(runId, ms);
    // with hardly any time to wait, nothing may have come back
    record ??= await this.#endedNow(runId);
    if (!record) throw new WorkflowError('WF_RESULT_TIMEOUT', `Run ${runId} has not ended within ${ms} ms`);
    if (record.status === 'cancelled') throw new RunCancelledError(runId);
    if (record.status === 'failed') throw new RunFailedError(runId, decodeFailure(record.error!));
    return this.codec.decode(record.result!) as R;
  }

  /** Null while it goes on. @throws WorkflowError WF_RUN_NOT_FOUND */
  async #endedNow(runId: string): Promise<EndedRun | null> {
    const record = await this.#find(runId);
    return record.finishedAt === null ? null : record;
  }

  async #find(runId: string): Promise<RunRecord> {
    const record = await this.store.find(checkName(runId, 'The run id'));
    if (!record) throw notFound(runId);
    return record;
  }
}

const notFound = (runId: string): WorkflowError =>
  new WorkflowError('WF_RUN_NOT_FOUND', `There is no run ${runId}`);

const STATUSES: readonly RunStatus[] = ['pending', 'running', 'waiting', 'completed', 'failed', 'cancelled'];

function filterOf(query: RunQuery): RunFilter {
  const { workflow, status, label, createdAfter, createdBefore } = query;
  if (status !== undefined && !STATUSES.includes(status)) {
    throw new WorkflowError(
      'WF_INVALID_ARGUMENT',
      `status is ${shown(status)}; it is one of ${STATUSES.join(', ')}`,
    );
  }
  const dateOf = (date: unknown, name: string): Date => new Date(timeOf(date, name));
  return {
    ...(workflow !== undefined && { workflow: workflowName(workflow) }),
    ...(status !== undefined && { status }),
    ...(label !== undefined && { label: checkName(label, 'A label') }),
    ...(createdAfter !== undefined && { createdAfter: dateOf(createdAfter, 'createdAfter') }),
    ...(createdBefore !== undefined && { createdBefore: dateOf(createdBefore, 'createdBefore') }),
  };
}

function pageOf(query: ListQuery): { limit: number; before: string | null; filter: RunFilter } {
  const { limit = 50, cursor, stuck } = checkOptions(query, 'The conditions of `list`');
  if (cursor !== undefined && !(typeof cursor === 'string' && /^\d{1,18}$/.test(cursor)))
    throw new WorkflowError('WF_INVALID_ARGUMENT', 'The cursor is not one that list() gave');
  return {
    limit: checkLimit(limit),
    before: cursor ?? null,
    filter: { ...filterOf(query), ...(stuck && { stuck: true as const }) },
  };
}

const versionOf = ({ version }: { version?: string | null }): string | null | undefined =>
  version === undefined || version === null ? version : checkName(version, 'The version');

function selectionOf(runs: string | readonly string[] | RunQuery): RunFilter {
  if (typeof runs === 'string') return { runIds: [checkName(runs, 'The run id')] };
  if (Array.isArray(runs))
    return { runIds: listOf(runs, 'The list of runs', (runId) => checkName(runId, 'A run id')) };
  const filter = filterOf(checkOptions(runs as RunQuery, 'The conditions of `cancel`'));
  if (Object.keys(filter).length === 0)
    throw new WorkflowError('WF_INVALID_ARGUMENT', 'cancel({}) would cancel every run; give a condition');
  return filter;
}
