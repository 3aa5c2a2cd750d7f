import { Logger, type LoggerService } from '@nestjs/common';
import {
  callRequest,
  runScope,
  type CallOptions,
  type InvokeOptions,
  type NotifyOptions,
  type NotifyResult,
  type Rollback,
  type RunInfo,
  type RunSession,
  type StepContext,
  type StepOptions,
  type TriggerOptions,
} from '../authoring/index.js';
import { digestOf } from '../engine/digest.js';
import { parseDuration } from '../engine/duration.js';
import { resolveFlowControl, type KeyedFlowControl, type ResolvedFlow } from '../engine/flow-control.js';
import { FAILURE_KEY } from '../engine/journal.js';
import { LazyMap } from '../engine/lazy.js';
import { PATCH_PREFIX } from '../engine/patch.js';
import { derivedRandom, derivedUuid } from '../engine/random.js';
import type { Instant, Replay, Request, StartedChild } from '../engine/replay.js';
import { resolveRetry, resolveStorableRetry, type RetryPolicy } from '../engine/retry.js';
import { PREFIXES } from '../engine/transition.js';
import { WorkflowError } from '../errors/index.js';
import type { Codec, RunEffects, RunHeader } from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import { idempotencyKey } from './step-runner.js';

/** Their answers would be taken for marks, or (asked by `run`) for those of what comes after it. */
const RESERVED = [PATCH_PREFIX];
const RESERVED_IN_RUN = [PATCH_PREFIX, FAILURE_KEY, PREFIXES.rollback, PREFIXES['on-failure']];

export interface SessionDependencies {
  readonly definition: WorkflowDefinition;
  readonly header: RunHeader;
  readonly replay: Replay;
  readonly codec: Codec;
  readonly effects: RunEffects;
  readonly steps: StepOptions;
  /** limit of one attempt of a call that does not say its own */
  readonly callTimeoutMs: number;
  /** called with the key of each request, after it was asked */
  readonly asked: (key: string) => void;
  /** takes what is to be undone when the run fails or is cancelled; undefined where nothing can be registered any more */
  readonly onRollback: ((rollback: Rollback) => void) | undefined;
  /** whether the code goes its new way, at this call of `ctx.patched` with this key (from 1) */
  readonly isPatched: (key: string, occurrence: number) => boolean;
  readonly isLive: () => boolean;
  readonly lastEntryAt: () => number;
}

interface StepPolicy {
  readonly retry: RetryPolicy;
  readonly timeoutMs: number | null;
}

/** Of steps without options of their own: the same for all runs of a workflow. */
const POLICIES = new WeakMap<WorkflowDefinition, StepPolicy>();

/** What the durable calls of one activation talk to. Its counters start anew with each replay, and so give the same values. */
export class ActivationSession implements RunSession {
  readonly info: RunInfo;
  readonly payload: unknown;
  #logger: LoggerService | undefined;
  readonly replay: Replay;
  readonly #seed: string;
  #counter = 0;
  /** calls of `ctx.patched` so far, by key */
  readonly #patches = new LazyMap<string, number>();
  /** a replay skips the steps: what they draw must not shift what `run` draws after them */
  #drawn: WeakMap<StepContext, number> | undefined;

  constructor(private readonly on: SessionDependencies) {
    const { header, replay, codec } = on;
    this.info = {
      runId: header.runId,
      workflow: header.workflow,
      labels: header.labels,
      attempt: header.attempt,
    };
    this.payload = codec.decode(header.payload);
    this.replay = replay;
    this.#seed = `${header.execution}/${replay.prefix}`;
  }

  /** Made when it is asked for: most runs say nothing. */
  get logger(): LoggerService {
    // a step executes live, also when the code around it was replayed to find it
    const isQuiet = (): boolean => !this.on.isLive() && !runScope.getStore()?.step;
    return (this.#logger ??= quietWhile(new Logger(this.on.header.workflow), isQuiet));
  }

  ask(request: Request): Promise<unknown> {
    const names = this.replay.prefix === '' ? RESERVED_IN_RUN : RESERVED;
    const reserved = names.find((one) => request.name.startsWith(one));
    if (reserved) {
      throw new WorkflowError(
        'WF_INVALID_ARGUMENT',
        `The name "${request.name}" of a step begins with "${reserved}", as keys of the engine's own do; give it another`,
      );
    }
    const { key, promise } = this.replay.ask(request);
    this.on.asked(key);
    return promise;
  }

  policy(options: StepOptions | undefined): StepPolicy {
    if (options !== undefined) return this.#resolve(options);
    // most steps have no options of their own
    const { definition } = this.on;
    let policy = POLICIES.get(definition);
    if (!policy) POLICIES.set(definition, (policy = this.#resolve(undefined)));
    return policy;
  }

  #resolve(options: StepOptions | undefined): StepPolicy {
    const layers = [options, this.on.definition.stepDefaults, this.on.steps];
    const timeout = layers.find((layer) => layer?.timeout !== undefined)?.timeout;
    return {
      retry: resolveRetry(...layers),
      timeoutMs: timeout === undefined ? null : parseDuration(timeout),
    };
  }

  flow(own: KeyedFlowControl | undefined, of: string, args: readonly unknown[]): { flow?: ResolvedFlow } {
    const flow = own ?? this.on.definition.stepDefaults.flowControl;
    return flow === undefined ? {} : { flow: resolveFlowControl(flow, `step "${of}"`, args) };
  }

  digest(args: readonly unknown[]): string | null {
    if (args.length === 0) return null;
    try {
      return digestOf(this.on.codec.encode(args, 'arguments'));
    } catch {
      return null; // arguments need not be storable; without a digest they are not compared
    }
  }

  call(name: string, request: CallOptions): string {
    const { definition, steps, callTimeoutMs: timeoutMs, codec } = this.on;
    const retry = resolveStorableRetry(request, definition.stepDefaults, steps);
    return codec.encode(callRequest(name, request, { retry, timeoutMs }), `request of ctx.call("${name}")`);
  }

  onRollback(rollback: Rollback): void {
    this.#inRun(`ctx.onRollback("${rollback.name}")`)(rollback);
  }

  continueAsNew(payload: unknown): Promise<never> {
    const { codec, header } = this.on;
    this.#inRun('ctx.continueAsNew()');
    return this.replay.leave({
      to: 'continued',
      payload: codec.encode(payload, `payload of run ${header.runId}`),
    });
  }

  patched(id: string): boolean {
    const key = `${this.replay.prefix}${PATCH_PREFIX}${id}`;
    const occurrence = (this.#patches.get(key) ?? 0) + 1;
    this.#patches.set(key, occurrence);
    return this.on.isPatched(key, occurrence);
  }

  now(): Date {
    return new Date(this.on.lastEntryAt());
  }
  random(): number {
    return derivedRandom(...this.#draw());
  }
  uuid(): string {
    return derivedUuid(...this.#draw());
  }

  trigger(
    key: string,
    workflow: unknown,
    payload: unknown,
    options?: TriggerOptions,
  ): Promise<{ runId: string }> {
    return this.on.effects.trigger(key, workflow, payload, options);
  }
  invoke(key: string, workflow: unknown, payload: unknown, options?: InvokeOptions): Promise<StartedChild> {
    const { execution, depth } = this.on.header;
    const by = { idempotencyKey: idempotencyKey(this.on.header, key), execution, key, depth };
    return this.on.effects.invoke(by, workflow, payload, options);
  }
  newWebhook(name: string, methods: readonly string[]): Instant {
    return this.on.effects.newWebhook(this.on.definition, name, methods);
  }
  notify(key: string, event: string, data: unknown, options?: NotifyOptions): Promise<NotifyResult> {
    return this.on.effects.notify(key, event, data, options);
  }

  /** What takes compensations while `run` runs. @throws WorkflowError WF_INVALID_ARGUMENT after that */
  #inRun(call: string): NonNullable<SessionDependencies['onRollback']> {
    const { onRollback, header } = this.on;
    if (onRollback) return onRollback;
    throw new WorkflowError(
      'WF_INVALID_ARGUMENT',
      `${call} of run ${header.runId} is called after the run has failed; call it in run`,
    );
  }

  /** Seed and counter of the next derived value: of `run`, or of the attempt of a step that asks. */
  #draw(): [seed: string, n: number] {
    const step = runScope.getStore()?.step;
    if (!step) return [this.#seed, this.#counter++];
    this.#drawn ??= new WeakMap();
    const n = this.#drawn.get(step) ?? 0;
    this.#drawn.set(step, n + 1);
    return [`${this.#seed}@${step.step}`, n];
  }
}

const LEVELS = ['log', 'error', 'warn', 'debug', 'verbose', 'fatal'] as const;

function quietWhile(logger: Logger, quiet: () => boolean): LoggerService {
  const wrapped = {} as Record<(typeof LEVELS)[number], (message: unknown, ...rest: unknown[]) => void>;
  for (const level of LEVELS) {
    wrapped[level] = (message, ...rest) => {
      if (!quiet()) logger[level](message, ...(rest as []));
    };
  }
  return wrapped;
}
