import { WorkflowError } from '../errors/index.js';
import { shown } from './shown.js';

/** How far a priority goes from 0, to either side: each one in use costs a claim a look of its own. */
export const MAX_PRIORITY = 10;

/** Smaller numbers first; 0 unless given. @throws WorkflowError WF_INVALID_ARGUMENT */
export function resolvePriority(priority: unknown): number {
  if (priority === undefined) return 0;
  if (typeof priority === 'number' && Number.isInteger(priority) && Math.abs(priority) <= MAX_PRIORITY)
    return priority === 0 ? 0 : priority;
  throw new WorkflowError(
    'WF_INVALID_ARGUMENT',
    `\`priority\` is ${shown(priority)}; it is a whole number from -${MAX_PRIORITY} to ${MAX_PRIORITY}, smaller first`,
  );
}
