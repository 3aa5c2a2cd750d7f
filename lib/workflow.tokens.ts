import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { WorkflowModuleOptions } from './workflow.options.js';

/** Name of the library's own TypeORM DataSource: `@InjectRepository(WorkflowRun, WORKFLOW_DATA_SOURCE)`. */
export const WORKFLOW_DATA_SOURCE = 'nestjs-workflow';

/** Route of the callback controller. */
export const WORKFLOW_PATH = Symbol('nestjs-workflow:path');

/** Overrides of internal settings, for tests; nobody provides it in production. */
export const RUNTIME_OVERRIDES = Symbol('nestjs-workflow:runtime-overrides');

/** Makes the options that hold out of those that were given; the test bench alone provides it. */
export const OPTIONS_OVERRIDE = Symbol('nestjs-workflow:options-override');

/** Stands in for the system's clock; tests alone provide it. */
export const CLOCK_OVERRIDE = Symbol('nestjs-workflow:clock-override');

/** The options that hold. */
export const WORKFLOW_OPTIONS = Symbol('nestjs-workflow:options');

export const {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN: GIVEN_OPTIONS,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<WorkflowModuleOptions>({ moduleName: 'Workflow' })
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createWorkflowOptions')
  .build();
