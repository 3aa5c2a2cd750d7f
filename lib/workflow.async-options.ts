import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';
import type { WorkflowModuleExtras, WorkflowModuleOptions } from './workflow.options.js';

/** What shapes the module graph may not come out of the factory. */
type Strict<T> = T & { [K in keyof WorkflowModuleExtras]?: never };

/** For `useClass` and `useExisting`. */
export interface WorkflowOptionsFactory {
  createWorkflowOptions(): WorkflowModuleOptions | Promise<WorkflowModuleOptions>;
}

/** Options of `WorkflowModule.forRootAsync()`: one of the three ways to make options, and beside it what must be known at once. */
export interface WorkflowModuleAsyncOptions extends WorkflowModuleExtras, Pick<ModuleMetadata, 'imports'> {
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  useFactory?: (...args: any[]) => Strict<WorkflowModuleOptions> | Promise<Strict<WorkflowModuleOptions>>;
  useClass?: Type<WorkflowOptionsFactory>;
  useExisting?: Type<WorkflowOptionsFactory>;
}
