import 'reflect-metadata';
import { Injectable, type Type } from '@nestjs/common';
import { parseDuration, type Duration } from '../engine/duration.js';
import { checkFlowControl, type KeyedFlowControl } from '../engine/flow-control.js';
import { given } from '../engine/given.js';
import { resolveRetry, type RetryOptions } from '../engine/retry.js';
import { shown } from '../engine/shown.js';
import { checkSingleton, type KeyedSingleton } from '../engine/singleton.js';
import { checkVersion } from '../engine/version.js';
import { WorkflowError } from '../errors/index.js';
import { FailureContext, type StepOptions } from './context.js';
import { checkName } from './event.js';
import { runScope } from './session.js';
import type { Stored, WorkflowHandler } from './types.js';

/** Options of `@Workflow`. */
export interface WorkflowOptions extends RetryOptions {
  /** unique in the application; runs refer to it */
  name: string;
  /**
   * Runs stay on the version they were triggered with for as long as a process serves it; several classes of one name may stand
   * side by side. New runs by name get the newest (none, '1', '2', '10'). @default none
   */
  version?: string;
  /**
   * Older versions (`null`: runs without one) whose runs go on in this class once no process serves theirs any more. Say so only
   * if this code can replay their journals: see `ctx.patched`. @default none; such runs are held as stuck
   */
  takesOver?: readonly (string | null)[];
  /** defaults of the steps that `run` calls */
  stepDefaults?: StepOptions;
  /** limit of the whole run, from trigger (or `continueAsNew`) to end; looked at between steps @default none */
  timeout?: Duration;
  /** of all its runs, unless a trigger says otherwise; the key may come from the payload: `key: ({ tenant }) => tenant` */
  flowControl?: KeyedFlowControl<[payload: any]>;
  /** of all its runs, unless a trigger says otherwise; the key may come from the payload */
  singleton?: KeyedSingleton<[payload: any]>;
}

/** Options of `@Step`, where `key` and `flowControl.key` may be functions of its arguments. */
export interface KeyedStepOptions<A extends unknown[]> extends StepOptions {
  /** tells parallel calls of one step apart by their arguments instead of by their order: `key: (id) => id` */
  key?: (...args: A) => string;
  flowControl?: KeyedFlowControl<A>;
}

const WORKFLOW = Symbol.for('nestjs-workflow:workflow');
const ON_FAILURE = Symbol.for('nestjs-workflow:on-failure');
const STEP = Symbol.for('nestjs-workflow:step');
/** by which Nest knows a class that is marked @Injectable */
const INJECTABLE = '__injectable__';

/**
 * Marks a class as a workflow (and as injectable). `retries`, `backoff` and `retryDelay` are for errors of `run` itself;
 * steps have their own.
 * @throws WorkflowError WF_INVALID_OPTIONS, WF_INVALID_DURATION, WF_INVALID_ARGUMENT when the class is defined
 */
export function Workflow(
  options: WorkflowOptions,
): <C extends Type<WorkflowHandler<any, any>>>(target: C) => void {
  given('The options of @Workflow', () => {
    const name = checkName(options?.name, 'The name of @Workflow');
    checkVersions(options);
    checkStep(options.stepDefaults ?? {}, `the steps of @Workflow "${name}"`);
    checkStep(options, `@Workflow "${name}"`);
    if (options.singleton !== undefined) checkSingleton(options.singleton);
  });
  return (target) => {
    // an @Injectable below this one has said more: its scope stays
    if (!Reflect.hasOwnMetadata(INJECTABLE, target)) Injectable()(target);
    Reflect.defineMetadata(WORKFLOW, options, target);
  };
}

/** Options of a class marked @Workflow itself (a subclass is not). */
export const workflowOptionsOf = (target: object): WorkflowOptions | undefined =>
  Reflect.getOwnMetadata(WORKFLOW, target);

/**
 * Makes a method of any provider a durable step. Called from `run`, it is executed at least once and its journaled result
 * is given from then on; called outside a run, or inside another step, it is a plain call.
 */
export function Step<A extends any[] = any[]>(
  options: KeyedStepOptions<A> = {},
): <F extends (...args: any[]) => Promise<any>>(
  proto: object,
  method: string,
  descriptor: TypedPropertyDescriptor<F> &
    (Awaited<ReturnType<F>> extends Stored<Awaited<ReturnType<F>>>
      ? unknown
      : { error: 'step result has methods or symbols: return plain data' }),
) => void {
  given('The options of @Step', () => {
    checkStep(options, '@Step');
    if (options.name !== undefined) checkName(options.name, 'The name of @Step');
    if (options.key !== undefined && typeof options.key !== 'function')
      throw new WorkflowError(
        'WF_INVALID_OPTIONS',
        `\`key\` of @Step is ${shown(options.key)}, and no function`,
      );
  });
  return (proto: object, method: string, descriptor: PropertyDescriptor): any => {
    const owner = (proto as { constructor?: { name?: string } }).constructor?.name ?? 'object';
    const original: unknown = descriptor?.value;
    if (typeof original !== 'function')
      throw new WorkflowError('WF_INVALID_STEP', `@Step() on ${owner}.${method}, which is not a method`);
    return {
      ...descriptor,
      value: durable(original as Method, options.name ?? `${owner}.${method}`, method, options),
    };
  };
}

type Method = (this: unknown, ...args: any[]) => unknown;

function durable(original: Method, name: string, method: string, options: KeyedStepOptions<any[]>): Method {
  const wrapper = {
    [method](this: unknown, ...args: any[]): unknown {
      const scope = runScope.getStore();
      if (!scope || scope.step) return original.apply(this, args);
      const { session } = scope;
      return session.ask({
        kind: 'step',
        name,
        ...(options.key && { discriminator: checkName(options.key(...args), `The key of step "${name}"`) }),
        digest: session.digest(args),
        execute: () => original.apply(this, args),
        ...session.policy(options),
        ...session.flow(options.flowControl, name, args),
      });
    },
  }[method]!;
  // decorators below this one put their metadata on the original function
  for (const key of Reflect.getMetadataKeys(original))
    Reflect.defineMetadata(key, Reflect.getMetadata(key, original), wrapper);
  Object.defineProperty(wrapper, 'length', { value: original.length, configurable: true });
  Reflect.defineMetadata(STEP, { name, options }, wrapper);
  return wrapper;
}

/** Another function as the same step: with its name, key and options. Undefined when `step` is none. */
export function sameStep(step: unknown, method: string, work: Method): Method | undefined {
  const marked = typeof step === 'function' ? Reflect.getMetadata(STEP, step) : undefined;
  return marked && durable(work, marked.name, method, marked.options);
}

/** Marks the method that is called, durably, once the run has failed for good. */
export function OnFailure(): <F extends (ctx: FailureContext<any>) => Promise<void>>(
  proto: object,
  method: string,
  descriptor: TypedPropertyDescriptor<F>,
) => void {
  return (proto, method) => {
    if (Reflect.hasOwnMetadata(ON_FAILURE, proto)) {
      throw new WorkflowError(
        'WF_INVALID_WORKFLOW',
        `${proto.constructor.name} has two methods marked @OnFailure`,
      );
    }
    Reflect.defineMetadata(ON_FAILURE, method, proto);
  };
}

/** Name of the method marked @OnFailure, also an inherited one. */
export const onFailureMethodOf = (proto: object): string | undefined =>
  Reflect.getMetadata(ON_FAILURE, proto);

function checkVersions({ name, version, takesOver = [] }: WorkflowOptions): void {
  const of = `of @Workflow "${name}"`;
  if (!Array.isArray(takesOver))
    throw new WorkflowError('WF_INVALID_ARGUMENT', `\`takesOver\` ${of} is not an array`);
  const check = (one: unknown): void => {
    if (one !== null) checkVersion(checkName(one, `A version ${of}`), name);
  };
  if (version !== undefined) check(version);
  Array.from(takesOver, check);
  if (takesOver.includes(version ?? null))
    throw new WorkflowError('WF_INVALID_ARGUMENT', `The version ${of} takes itself over`);
}

function checkStep(options: Omit<StepOptions, 'name'>, of: string): void {
  if (typeof options !== 'object' || options === null)
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      `The options of ${of} are ${shown(options)}, and no object`,
    );
  resolveRetry(options);
  if (options.timeout !== undefined) parseDuration(options.timeout);
  if (options.flowControl !== undefined) checkFlowControl(options.flowControl, of);
}
