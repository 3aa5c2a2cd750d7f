import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { WorkflowModuleOptions } from './workflow.options.js';

/** Name of the library's own TypeORM DataSource: `@InjectRepository(WorkflowRun, WORKFLOW_DATA_SOURCE)`. */
export const WORKFLOW_DATA_SOURCE = 'nestjs-workflow';

/** Route of the callback controller. */
export const WORKFLOW_PATH = Symbol('nestjs-workflow:path');

/** Overrides of internal settings, for tests; nobody provides it in production. */
export const RUNTIME_OVERRIDES = Symbol('nestjs-workflow:runtime-overrides');

export const {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN: WORKFLOW_OPTIONS,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<WorkflowModuleOptions>({ moduleName: 'Workflow' })
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createWorkflowOptions')
  .build();
