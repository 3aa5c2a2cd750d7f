import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import {
  checkName,
  eventId,
  verifierFor,
  type EventRef,
  type InvokeOptions,
  type NotifyOptions,
  type NotifyResult,
  type TriggerOptions,
} from '../authoring/index.js';
import { parseDuration } from '../engine/duration.js';
import { given } from '../engine/given.js';
import { resolvePriority } from '../engine/priority.js';
import { derivedUuid } from '../engine/random.js';
import type { Instant, StartedChild } from '../engine/replay.js';
import { shown } from '../engine/shown.js';
import { versionName } from '../engine/version.js';
import { WEBHOOK_TOKEN_BYTES, webhookEvent, writeWebhookSpec } from '../engine/webhook.js';
import { WorkflowError } from '../errors/index.js';
import {
  Chance,
  Codec,
  RunEffects,
  RunIntake,
  RunStore,
  WebhookUrls,
  type Invoker,
  type NotifyRequest,
  type Triggered,
  type TriggerRow,
} from '../ports/index.js';
import { runLimits, WorkflowRegistry, type WorkflowDefinition } from '../registry/index.js';
import { checkOptions, listOf, managerOf, timeOf } from './arguments.js';
import { orderedUuid } from './ordered-uuid.js';

const MAX_LABELS = 64;
/** A workflow that invokes itself without end is stopped here. */
const MAX_DEPTH = 32;

/** Checks and encodes what is asked of the engine from outside a run, or by a step. Bad input is refused before anything is written. */
@Injectable()
export class WorkflowCommands extends RunEffects {
  constructor(
    @Inject(WorkflowRegistry) private readonly registry: WorkflowRegistry,
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(RunIntake) private readonly intake: RunIntake,
    @Inject(Codec) private readonly codec: Codec,
    @Inject(WebhookUrls) private readonly urls: WebhookUrls,
    @Inject(Chance) private readonly chance: Chance,
  ) {
    super();
  }

  /** Bad input is thrown at once, and no promise is given then. */
  start(
    workflow: unknown,
    payload: unknown,
    options: TriggerOptions & { manager?: EntityManager } = {},
  ): Promise<Triggered> {
    const { row, manager } = given('What `trigger` is given', () => ({
      row: this.#row(workflow, payload, options, this.chance.uuid()),
      manager: managerOf(options),
    }));
    if (manager) return this.#all([row], manager).then(([triggered]) => triggered!);
    return this.intake.trigger(row).then((triggered) => this.#same(row, triggered));
  }

  async startMany(
    workflow: unknown,
    items: readonly ({ payload?: unknown } & TriggerOptions)[],
    options: { manager?: EntityManager } = {},
  ): Promise<Triggered[]> {
    const { rows, manager } = given('What `triggerMany` is given', () => ({
      rows: listOf(items, 'The list of runs', (item) => {
        const one = checkOptions(item as TriggerOptions & { payload?: unknown });
        return this.#row(workflow, one.payload, one, this.chance.uuid());
      }),
      manager: managerOf(checkOptions(options, 'The options of `triggerMany`')),
    }));
    const byRun = new Map(rows.map((row) => [row.runId, row]));
    for (const { runId, payload } of rows) {
      if (byRun.get(runId)!.payload !== payload)
        throw new WorkflowError('WF_RUN_EXISTS', `Run ${runId} is given twice, with different payloads`);
    }
    return rows.length === 0 ? [] : this.#all(rows, manager);
  }

  async #all(rows: readonly Omit<TriggerRow, 'owner'>[], manager?: EntityManager): Promise<Triggered[]> {
    const triggered = await this.intake.triggerMany(rows, manager);
    const started = triggered.flatMap((one, i) => (one ? [this.#same(rows[i]!, one)] : []));
    if (started.length === rows.length) return started;
    throw new WorkflowError('WF_RUN_EXISTS', 'One of the runs existed with another payload, and is gone now');
  }

  async send(
    event: EventRef<unknown>,
    data: unknown,
    options: NotifyOptions & { manager?: EntityManager } = {},
    id = orderedUuid(),
  ): Promise<NotifyResult> {
    const { request, manager } = given('What `notify` is given', () => this.#event(event, data, options, id));
    if (!manager) return this.intake.notify(request);
    const result = await this.store.notify(request, manager);
    this.intake.afterCommit(manager, () => {
      this.intake.announceDue();
      if (request.keepForMs !== null) this.#deliverKept(id);
    });
    return result;
  }

  #event(
    event: EventRef<unknown>,
    data: unknown,
    options: NotifyOptions & { manager?: EntityManager },
    id: string,
  ): { request: NotifyRequest; manager: EntityManager | undefined } {
    const name = eventId(event);
    const { runId, keepFor } = checkOptions(options, 'The options of an event');
    if (runId !== undefined && keepFor !== undefined) {
      throw new WorkflowError(
        'WF_INVALID_ARGUMENT',
        '`keepFor` does not go with `runId`: an event for one run is kept until that run ends',
      );
    }
    const request = {
      eventId: id,
      event: name,
      data: this.codec.encode(data, `data of event "${name}"`),
      runId: runId === undefined ? null : checkName(runId, 'The run id'),
      keepForMs: keepFor === undefined ? null : parseDuration(keepFor),
    };
    return { request, manager: managerOf(options) };
  }

  /** Failing, it costs only the runs that began to wait while the caller's transaction was open. */
  #deliverKept(id: string): void {
    this.store.deliverKept(id).then(
      (found) => found && this.intake.announceDue(),
      () => {},
    );
  }

  /**
   * Lets runs that are stuck be tried at once, in another version if one is given.
   * @throws WorkflowError WF_RUN_NOT_FOUND, WF_UNKNOWN_WORKFLOW for a version that this process does not have; nothing is changed then
   */
  async resume(runIds: readonly string[], version?: string | null): Promise<string[]> {
    for (const runId of version === undefined ? [] : runIds) {
      const run = await this.store.find(runId);
      if (!run) throw new WorkflowError('WF_RUN_NOT_FOUND', `There is no run ${runId}`);
      if (this.registry.get(run.workflow, version ?? null)) continue;
      throw new WorkflowError(
        'WF_UNKNOWN_WORKFLOW',
        `Run ${runId} cannot go on as ${versionName(run.workflow, version ?? null)}, which is not known here`,
      );
    }
    const resumed = await this.intake.repeat(() => this.store.resume(runIds, version));
    if (resumed.length > 0) this.intake.announceDue();
    return resumed.map(({ runId }) => runId);
  }

  /** `ctx.trigger`: without a run id the run gets one that comes from the step, so that a repeated step starts nothing new. */
  async trigger(
    key: string,
    workflow: unknown,
    payload: unknown,
    options: TriggerOptions = {},
  ): Promise<{ runId: string }> {
    const row = given('What `ctx.trigger` is given', () => {
      const runId = checkOptions(options).runId ?? uuidOf(`trigger ${key}`);
      return this.#row(workflow, payload, { ...options, runId }, uuidOf(`trigger-id ${key}`));
    });
    return { runId: this.#same(row, await this.intake.trigger(row)).header.runId };
  }

  /** `ctx.invoke`: ids that come from the step; a run that exists and is not this very child is refused, its end would answer nobody. */
  async invoke(
    { idempotencyKey, execution, key, depth }: Invoker,
    workflow: unknown,
    payload: unknown,
    asked: InvokeOptions = {},
  ): Promise<StartedChild> {
    const { row, cascades } = given('What `ctx.invoke` is given', () => {
      const { onParentCancel = 'cancel', ...options } = checkOptions(asked);
      if (onParentCancel !== 'cancel' && onParentCancel !== 'abandon') {
        throw new WorkflowError(
          'WF_INVALID_ARGUMENT',
          `\`onParentCancel\` is ${shown(onParentCancel)}; it is 'cancel' or 'abandon'`,
        );
      }
      const runId = options.runId ?? uuidOf(`invoke ${idempotencyKey}`);
      return {
        row: this.#row(workflow, payload, { ...options, runId }, uuidOf(`invoke-id ${idempotencyKey}`)),
        cascades: onParentCancel === 'cancel',
      };
    });
    if (depth >= MAX_DEPTH) {
      throw new WorkflowError(
        'WF_INVOKE_DEPTH',
        `Step "${key}" would invoke a child below ${MAX_DEPTH} ancestors`,
      );
    }
    const parent = { execution, key, depth: depth + 1, cascades };
    const { created, header, lease } = await this.intake.trigger({ ...row, parent });
    if (created) return { runId: header.runId, here: lease && header.execution };
    throw new WorkflowError(
      'WF_RUN_EXISTS',
      header.runId === row.runId
        ? `Run ${row.runId} exists already, and is not a child of this step`
        : `Singleton key "${row.singleton?.key}" is held by run ${header.runId}, which is not a child of this step`,
    );
  }

  /** `ctx.notify`: the event's id comes from the step, so that a repeated step sends nothing new. */
  notify(key: string, event: string, data: unknown, options: NotifyOptions = {}): Promise<NotifyResult> {
    return this.send(event, data, options, uuidOf(`notify ${key}`));
  }

  /** `ctx.createWebhook`. The token is no function of the run: who knows a run knows no URL of it. */
  newWebhook(
    workflow: Pick<WorkflowDefinition, 'name' | 'version'>,
    name: string,
    methods: readonly string[],
  ): Instant {
    const id = randomBytes(WEBHOOK_TOKEN_BYTES).toString('base64url');
    const definition = this.registry.get(workflow.name, workflow.version);
    const verify = definition !== undefined && verifierFor(definition.verifiers, name) !== undefined;
    return {
      value: { url: this.urls.urlOf(id), id },
      event: webhookEvent(id),
      request: writeWebhookSpec({ name, methods, verify }),
    };
  }

  #row(workflow: unknown, payload: unknown, options: TriggerOptions, triggerId: string): TriggerRow {
    checkOptions(options);
    const definition = this.registry.resolve(workflow);
    const { name, version, timeoutMs } = definition;
    const runId = options.runId === undefined ? this.chance.uuid() : checkName(options.runId, 'The run id');
    const labels = listOf(options.labels ?? [], '`labels`', (label) => checkName(label, 'A label'));
    if (labels.length > MAX_LABELS)
      throw new WorkflowError('WF_INVALID_ARGUMENT', `A run has at most ${MAX_LABELS} labels`);
    return {
      triggerId,
      runId,
      workflow: name,
      version,
      payload: this.codec.encode(payload, `payload of run ${runId}`),
      labels,
      due: dueOf(options),
      deadlineInMs: timeoutMs,
      parent: null,
      priority: resolvePriority(options.priority),
      // said by the intake; here already, because of a spread that adds a key each object has a shape of its own (ADR 20)
      owner: null,
      ...runLimits(definition, runId, payload, options),
    };
  }

  #same(row: Omit<TriggerRow, 'owner'>, triggered: Triggered): Triggered {
    const { header, created } = triggered;
    // skipped: the run that holds the singleton key is given, whatever it is
    if (created || header.runId !== row.runId) return triggered;
    if (header.workflow !== row.workflow) {
      throw new WorkflowError(
        'WF_RUN_EXISTS',
        `Run ${row.runId} exists, of workflow "${header.workflow}" and not "${row.workflow}"`,
      );
    }
    if (header.payload !== row.payload)
      throw new WorkflowError('WF_RUN_EXISTS', `Run ${row.runId} exists, with another payload`);
    return triggered;
  }
}

function dueOf({ delay, notBefore }: TriggerOptions): TriggerRow['due'] {
  if (delay !== undefined && notBefore !== undefined) {
    throw new WorkflowError('WF_INVALID_ARGUMENT', '`delay` and `notBefore` are both given');
  }
  if (notBefore === undefined) return { inMs: delay === undefined ? 0 : parseDuration(delay) };
  return { at: timeOf(notBefore, '`notBefore`') };
}

/** The same text always gives the same id. */
const uuidOf = (text: string): string => derivedUuid(text, 0);
