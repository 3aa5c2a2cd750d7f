import type { LoggerService, Type } from '@nestjs/common';
import type { CallResponse } from '../engine/call.js';
import { parseDuration, type Duration } from '../engine/duration.js';
import { resolveFlowControl } from '../engine/flow-control.js';
import type { Failure } from '../engine/failure.js';
import { webhookEvent } from '../engine/webhook.js';
import { WorkflowError } from '../errors/index.js';
import type { CallOptions } from './call.js';
import {
  FailureContext,
  WorkflowContext,
  type InvokeOptions,
  type NotifyOptions,
  type NotifyResult,
  type PollOptions,
  type PollResult,
  type StepContext,
  type StepOptions,
  type TriggerOptions,
  type WebhookOptions,
} from './context.js';
import { checkName, eventId, type EventRef, type EventResult } from './event.js';
import { runScope, type RunSession } from './session.js';
import { webhookId, webhookMethods, type Webhook, type WebhookCall } from './webhook.js';

/** The durable calls of a context: each becomes one request of the replay. Arguments are checked before anything is asked. */
export class DurableContext<P> extends WorkflowContext<P> {
  constructor(protected readonly session: RunSession) {
    super();
  }

  get runId(): string {
    return this.session.info.runId;
  }
  get workflow(): string {
    return this.session.info.workflow;
  }
  get labels(): readonly string[] {
    return this.session.info.labels;
  }
  get attempt(): number {
    return this.session.info.attempt;
  }
  get payload(): P {
    return this.session.payload as P;
  }
  get logger(): LoggerService {
    return this.session.logger;
  }

  // none of these is an async function: that would hand out a second promise, whose rejection nobody may look at

  run<R>(name: string, fn: (step: StepContext) => Promise<R> | R, options?: StepOptions): Promise<R> {
    const inside = runScope.getStore()?.step;
    if (inside) return new Promise((resolve) => resolve(fn(inside)));
    checkName(name, 'The name of ctx.run');
    return this.ask<R>({
      kind: 'step',
      name,
      execute: fn,
      ...this.session.policy(options),
      ...this.session.flow(options?.flowControl, name, []),
    });
  }

  sleep(name: string, duration: Duration): Promise<void> {
    const ms = parseDuration(duration);
    return this.ask({ kind: 'sleep', name: this.waitName(name, 'ctx.sleep'), sleep: { ms } });
  }

  sleepUntil(name: string, at: Date): Promise<void> {
    const until = at instanceof Date ? at.getTime() : NaN;
    if (Number.isNaN(until))
      throw new WorkflowError('WF_INVALID_ARGUMENT', `ctx.sleepUntil("${name}") needs a valid Date`);
    return this.ask({ kind: 'sleep', name: this.waitName(name, 'ctx.sleepUntil'), sleep: { until } });
  }

  waitForEvent<T>(name: string, event: EventRef<T>): Promise<{ timedOut: false; data: T }>;
  waitForEvent<T>(name: string, event: EventRef<T>, options: { timeout: Duration }): Promise<EventResult<T>>;
  waitForEvent<T>(name: string, event: EventRef<T>, options?: { timeout: Duration }): Promise<any> {
    const timeoutMs = options?.timeout === undefined ? null : parseDuration(options.timeout);
    return this.ask({
      kind: 'wait',
      name: this.waitName(name, 'ctx.waitForEvent'),
      event: eventId(event),
      timeoutMs,
    });
  }

  poll<R>(
    name: string,
    fn: (step: StepContext) => Promise<R | undefined>,
    options: PollOptions,
  ): Promise<PollResult<R>> {
    const { every, timeout, ...retry }: Partial<PollOptions> = options ?? {};
    const poll = { everyMs: parseDuration(every!), timeoutMs: parseDuration(timeout!) };
    if (poll.everyMs === 0)
      throw new WorkflowError('WF_INVALID_ARGUMENT', `ctx.poll("${name}") needs an \`every\` above zero`);
    return this.ask({
      kind: 'poll',
      name: this.waitName(name, 'ctx.poll'),
      execute: fn,
      poll,
      ...this.session.policy(retry),
    });
  }

  notify<T>(
    name: string,
    event: EventRef<T>,
    data: NoInfer<T>,
    options?: NotifyOptions,
  ): Promise<NotifyResult> {
    const id = eventId(event);
    return this.ask<NotifyResult>({
      kind: 'notify',
      name: this.waitName(name, 'ctx.notify'),
      execute: (step: StepContext) => this.session.notify(step.idempotencyKey, id, data, options),
      ...this.session.policy(undefined),
    });
  }

  trigger(name: string, workflow: Type<any>, ...args: any[]): Promise<{ runId: string }> {
    const [payload, options] = args as [unknown, TriggerOptions | undefined];
    return this.ask<{ runId: string }>({
      kind: 'trigger',
      name: this.waitName(name, 'ctx.trigger'),
      execute: (step: StepContext) => this.session.trigger(step.idempotencyKey, workflow, payload, options),
      ...this.session.policy(undefined),
    });
  }

  invoke(name: string, workflow: Type<any>, ...args: any[]): Promise<any> {
    const [payload, options] = args as [unknown, InvokeOptions | undefined];
    return this.ask({
      kind: 'invoke',
      name: this.waitName(name, 'ctx.invoke'),
      start: (key) => this.session.invoke(key, workflow, payload, options),
    });
  }

  call<B>(name: string, request: CallOptions): Promise<CallResponse<B>> {
    const checked = this.waitName(name, 'ctx.call');
    const flow = request?.flowControl;
    return this.ask({
      kind: 'call',
      name: checked,
      call: this.session.call(checked, request),
      ...(flow !== undefined && { flow: resolveFlowControl(flow, `call "${checked}"`) }),
    });
  }

  createWebhook(name: string, options: WebhookOptions = {}): Promise<Webhook> {
    const methods = webhookMethods(name, options.methods);
    return this.ask<Webhook>({
      kind: 'webhook',
      name: this.waitName(name, 'ctx.createWebhook'),
      instant: () => this.session.newWebhook(name, methods),
    });
  }

  waitForWebhook<B>(name: string, hook: Webhook): Promise<{ timedOut: false; data: WebhookCall<B> }>;
  waitForWebhook<B>(
    name: string,
    hook: Webhook,
    options: { timeout?: Duration },
  ): Promise<EventResult<WebhookCall<B>>>;
  waitForWebhook(name: string, hook: Webhook, options?: { timeout?: Duration }): Promise<any> {
    const timeoutMs = options?.timeout === undefined ? null : parseDuration(options.timeout);
    return this.ask({
      kind: 'wait',
      name: this.waitName(name, 'ctx.waitForWebhook'),
      event: webhookEvent(webhookId(name, hook)),
      timeoutMs,
    });
  }

  cancel(): Promise<never> {
    refuseInStep('ctx.cancel()');
    return this.session.replay.leave({ to: 'cancelled' });
  }

  onRollback(name: string, fn: (step: StepContext) => Promise<void> | void, options?: StepOptions): void {
    this.session.policy(options); // refused here, and not when it is needed
    if (typeof fn !== 'function')
      throw new WorkflowError('WF_INVALID_ARGUMENT', `ctx.onRollback("${name}") needs a function`);
    this.session.onRollback({ name: this.waitName(name, 'ctx.onRollback'), work: fn, options });
  }

  continueAsNew(payload: P): Promise<never> {
    refuseInStep('ctx.continueAsNew()');
    return this.session.continueAsNew(payload);
  }

  patched(id: string): boolean {
    const checked = checkName(id, 'The id of ctx.patched');
    refuseInStep(`ctx.patched("${checked}")`);
    return this.session.patched(checked);
  }
  now(): Date {
    return this.session.now();
  }
  random(): number {
    return this.session.random();
  }
  uuid(): string {
    return this.session.uuid();
  }

  private ask<T>(request: Parameters<RunSession['ask']>[0]): Promise<T> {
    return this.session.ask(request) as Promise<T>;
  }

  private waitName(name: string, call: string): string {
    const checked = checkName(name, `The name of ${call}`);
    refuseInStep(`${call}("${checked}")`);
    return checked;
  }
}

/** A wait inside a step would hold its attempt open without being durable; a step that cancels would never end. */
function refuseInStep(call: string): void {
  const step = runScope.getStore()?.step;
  if (!step) return;
  throw new WorkflowError(
    'WF_INVALID_ARGUMENT',
    `${call} is called inside the step "${step.step}"; call it in run`,
  );
}

export class DurableFailureContext<P> extends DurableContext<P> implements FailureContext<P> {
  constructor(
    session: RunSession,
    readonly error: Failure,
  ) {
    super(session);
  }

  get failedStep(): string | undefined {
    for (let failure: Failure | undefined = this.error; failure; failure = failure.cause)
      if (failure.step) return failure.step.key;
    return undefined;
  }
}
