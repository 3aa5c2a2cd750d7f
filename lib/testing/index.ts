/** The public API for tests, every name written out. */
export { WorkflowBench } from './workflow-bench.js';
export { WorkflowTestingModule, type WorkflowTestingOptions } from './workflow-testing.module.js';
