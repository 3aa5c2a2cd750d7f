/** The public API for tests, every name written out. */
export type { WebhookAnswer, WebhookTestCall } from './webhook-call.js';
export { WorkflowBench } from './workflow-bench.js';
export { WorkflowTestingModule, type WorkflowTestingOptions } from './workflow-testing.module.js';
