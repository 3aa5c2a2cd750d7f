import { WorkflowCore1763856000000 } from './1763856000000-core.js';
import { WorkflowKinds1764000000000 } from './1764000000000-kinds.js';
import { WorkflowSchedules1764100000000 } from './1764100000000-schedules.js';
import { WorkflowFlow1764200000000 } from './1764200000000-flow.js';
import { WorkflowVersions1764300000000 } from './1764300000000-versions.js';

/** The library's migrations in order, for applications that run them with their own (`migrate: false`). */
export const workflowMigrations = [
  WorkflowCore1763856000000,
  WorkflowKinds1764000000000,
  WorkflowSchedules1764100000000,
  WorkflowFlow1764200000000,
  WorkflowVersions1764300000000,
];
