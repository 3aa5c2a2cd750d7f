import { Injectable, Scope, type OnModuleInit, type Type } from '@nestjs/common';
import { ContextIdFactory, DiscoveryService, ModuleRef } from '@nestjs/core';
import {
  onFailureMethodOf,
  schedulesOf,
  webhookVerifiersOf,
  workflowOptionsOf,
  type WorkflowHandler,
} from '../authoring/index.js';
import { parseDuration } from '../engine/duration.js';
import { resolveRetry } from '../engine/retry.js';
import { WorkflowError } from '../errors/index.js';
import type { ScheduleDefinition, WorkflowDefinition } from './definition.js';
import { WorkflowRegistry } from './registry.js';

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/** Finds every provider marked @Workflow, however it is provided, and puts it into the registry. */
@Injectable()
export class WorkflowExplorer implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly modules: ModuleRef,
    private readonly registry: WorkflowRegistry,
  ) {}

  onModuleInit(): void {
    // an alias (useExisting) is the same instance under another token
    for (const wrapper of this.discovery.getProviders()) if (!wrapper.isAlias) this.explore(wrapper);
  }

  private explore(wrapper: Wrapper): void {
    const type = this.typeOf(wrapper);
    const options = type && workflowOptionsOf(type);
    if (type && !options && schedulesOf(type).length > 0) {
      throw new WorkflowError(
        'WF_INVALID_SCHEDULE',
        `Class ${type.name} is marked @Schedule and not @Workflow`,
      );
    }
    if (!type || !options) return;
    if (typeof type.prototype?.run !== 'function') {
      throw new WorkflowError(
        'WF_INVALID_WORKFLOW',
        `Class ${type.name} is marked @Workflow("${options.name}") and has no method run`,
      );
    }
    this.registry.add({
      name: options.name,
      version: options.version ?? null,
      takesOver: options.takesOver ?? [],
      type,
      retry: resolveRetry(options),
      stepDefaults: options.stepDefaults ?? {},
      timeoutMs: options.timeout === undefined ? null : parseDuration(options.timeout),
      flowControl: options.flowControl,
      singleton: options.singleton,
      onFailure: onFailureMethodOf(type.prototype as object) ?? null,
      schedules: scheduleDefinitionsOf(type, options.name),
      verifiers: webhookVerifiersOf(type.prototype as object),
      instance: this.resolver(wrapper),
    });
  }

  /** Class and useClass providers have a metatype with a prototype; useFactory and useValue are known by their instance. */
  private typeOf(wrapper: Wrapper): Type<WorkflowHandler<any, any>> | undefined {
    const metatype = wrapper.metatype as Type | undefined;
    if (typeof metatype === 'function' && workflowOptionsOf(metatype)) return metatype;
    const instance: unknown = wrapper.isDependencyTreeStatic() ? wrapper.instance : undefined;
    return typeof instance === 'object' && instance !== null
      ? (instance.constructor as Type | undefined)
      : undefined;
  }

  private resolver(wrapper: Wrapper): WorkflowDefinition['instance'] {
    if (wrapper.isDependencyTreeStatic() && wrapper.scope !== Scope.TRANSIENT) {
      return () => wrapper.instance as WorkflowHandler<any, any>;
    }
    return async (runId) => {
      const context = ContextIdFactory.create();
      this.modules.registerRequestByContextId({ runId }, context);
      return this.modules.resolve(wrapper.token as Type<WorkflowHandler<any, any>>, context, {
        strict: false,
      });
    };
  }
}

/** The first one without a name has that of the workflow, further ones their number behind it. */
function scheduleDefinitionsOf(type: object, workflow: string): ScheduleDefinition[] {
  return schedulesOf(type).map(({ name, ...declared }, at) => ({
    ...declared,
    id: name ?? (at === 0 ? workflow : `${workflow}/${at + 1}`),
    workflow,
  }));
}
