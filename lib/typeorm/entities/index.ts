import { WorkflowFlowControl } from './workflow-flow-control.entity.js';
import { WorkflowFlowNote } from './workflow-flow-note.entity.js';
import { WorkflowMessage } from './workflow-message.entity.js';
import { WorkflowRun } from './workflow-run.entity.js';
import { WorkflowSchedule } from './workflow-schedule.entity.js';
import { WorkflowStep } from './workflow-step.entity.js';
import { WorkflowTask } from './workflow-task.entity.js';
import { WorkflowWorker } from './workflow-worker.entity.js';

export * from './workflow-flow-control.entity.js';
export * from './workflow-flow-note.entity.js';
export * from './workflow-message.entity.js';
export * from './workflow-run.entity.js';
export * from './workflow-schedule.entity.js';
export * from './workflow-step.entity.js';
export * from './workflow-task.entity.js';
export * from './workflow-worker.entity.js';

/** The entities of this library; they describe what `workflowMigrations` create (`test/storage/drift.spec.ts`). */
export const WORKFLOW_ENTITIES = [
  WorkflowRun,
  WorkflowStep,
  WorkflowTask,
  WorkflowMessage,
  WorkflowWorker,
  WorkflowSchedule,
  WorkflowFlowControl,
  WorkflowFlowNote,
];
