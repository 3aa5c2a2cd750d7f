import type { EntityManager } from 'typeorm';
import { checkName, workflowOptionsOf } from '../authoring/index.js';
import { className, shown } from '../engine/shown.js';
import { WorkflowError } from '../errors/index.js';

// what callers give, from code that no compiler has seen: of any type, or an object that throws when it is looked at (see `given`)

const refuse = (what: string): never => {
  throw new WorkflowError('WF_INVALID_ARGUMENT', what);
};

/** Text in the place of options would be no option at all, and nobody would notice. */
export function checkOptions<O>(options: O, what = 'The options of a run'): O {
  if (typeof options === 'object' && options !== null) return options;
  return refuse(`${what} are ${options === null ? 'null' : `a ${typeof options}`}; they are an object`);
}

/** The caller's transaction; without one: undefined. */
export function managerOf({ manager }: { readonly manager?: unknown }): EntityManager | undefined {
  if (manager === undefined || manager === null) return undefined;
  if (typeof (manager as { query?: unknown }).query === 'function') return manager as EntityManager;
  return refuse('`manager` is not an EntityManager');
}

/** Each of a list, also where it has holes. */
export function listOf<T>(list: unknown, what: string, each: (item: unknown) => T): T[] {
  return Array.isArray(list) ? Array.from(list as unknown[], each) : refuse(`${what} is not an array`);
}

export function checkLimit(limit: unknown): number {
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 1 && limit <= 1000) return limit;
  return refuse(`limit is ${shown(limit)}; it is a whole number from 1 to 1000`);
}

/** Before there was anything that could be recorded, and as far back as PostgreSQL reckons: Date reaches further. */
const EARLIEST_MS = Date.UTC(-4000, 0);

/** Ms of a date; one that lies before all that can be stored as the earliest that can. */
export function timeOf(date: unknown, what: string): number {
  const at = date instanceof Date ? date.getTime() : NaN;
  return Number.isNaN(at) ? refuse(`${what} is not a valid Date`) : Math.max(at, EARLIEST_MS);
}

/** By name also a workflow that is no longer served here: its runs and schedules are still there. */
export function workflowName(workflow: unknown): string {
  if (typeof workflow === 'string') return checkName(workflow, 'The workflow name');
  if (typeof workflow !== 'function') return refuse('A workflow is given by its class or its name');
  const options = workflowOptionsOf(workflow);
  if (options) return options.name;
  throw new WorkflowError('WF_UNKNOWN_WORKFLOW', `Class ${className(workflow)} is not marked @Workflow`);
}
