import { Injectable } from '@nestjs/common';
import { workflowOptionsOf } from '../authoring/index.js';
import { className, shown } from '../engine/shown.js';
import { compareVersions, queueOf, versionName } from '../engine/version.js';
import { WorkflowError } from '../errors/index.js';
import type { ScheduleDefinition, WorkflowDefinition } from './definition.js';

/** Workflows of this process by class, and by name and version. Filled by the explorer before the application has bootstrapped. */
@Injectable()
export class WorkflowRegistry {
  readonly #byQueue = new Map<string, WorkflowDefinition>();
  readonly #byType = new Map<unknown, WorkflowDefinition>();
  /** the newest version of each name */
  readonly #newest = new Map<string, WorkflowDefinition>();
  #schedules: ReadonlyMap<string, ScheduleDefinition> = new Map();

  /**
   * @throws WorkflowError WF_DUPLICATE_WORKFLOW when the name and version are taken or the class is provided twice,
   * WF_INVALID_SCHEDULE when the name of a schedule is taken
   */
  add(definition: WorkflowDefinition): void {
    const { name, version, type } = definition;
    const taken = this.#byQueue.get(queueOf(name, version)) ?? this.#byType.get(type);
    if (taken) {
      throw new WorkflowError(
        'WF_DUPLICATE_WORKFLOW',
        taken.type === type
          ? `Workflow class ${type.name} (${versionName(name, version)}) is provided twice`
          : `Workflow name ${versionName(name, version)} is used by ${taken.type.name} and by ${type.name}`,
      );
    }
    const newest = this.#newest.get(name);
    if (!newest || compareVersions(newest.version, version) < 0) {
      this.#schedules = schedulesOf(
        [...this.#newest.values()].filter((one) => one !== newest),
        definition,
      );
      this.#newest.set(name, definition);
    }
    this.#byQueue.set(queueOf(name, version), definition);
    this.#byType.set(type, definition);
  }

  get(name: string, version: string | null): WorkflowDefinition | undefined {
    const found = this.#byQueue.get(queueOf(name, version));
    return found?.name === name ? found : undefined;
  }

  /** Schedules that stand on the newest versions of the classes, by their id. */
  get schedules(): ReadonlyMap<string, ScheduleDefinition> {
    return this.#schedules;
  }

  /** Names, whatever the version. */
  names(): string[] {
    return [...this.#newest.keys()];
  }

  /** Queues that this process serves: one for each name and version. */
  queues(): string[] {
    return [...this.#byQueue.keys()];
  }

  /** All of them. */
  definitions(): WorkflowDefinition[] {
    return [...this.#byQueue.values()];
  }

  /**
   * The definition of a class, or the newest version of a name.
   * @throws WorkflowError WF_UNKNOWN_WORKFLOW, WF_INVALID_ARGUMENT
   */
  resolve(workflow: unknown): WorkflowDefinition {
    if (typeof workflow === 'string') {
      const found = this.#newest.get(workflow);
      if (found) return found;
      throw new WorkflowError(
        'WF_UNKNOWN_WORKFLOW',
        `Workflow ${shown(workflow)} is not known here (known: ${this.names().join(', ') || 'none'})`,
      );
    }
    const found = this.#byType.get(workflow);
    if (found) return found;
    if (typeof workflow !== 'function')
      throw new WorkflowError('WF_INVALID_ARGUMENT', 'A workflow is given by its class or its name');
    const options = workflowOptionsOf(workflow);
    throw new WorkflowError(
      'WF_UNKNOWN_WORKFLOW',
      options
        ? `Workflow class ${className(workflow)} is marked @Workflow but not provided`
        : `Class ${className(workflow)} is not marked @Workflow`,
    );
  }
}

/** Those of these workflows and of one more. @throws WorkflowError WF_INVALID_SCHEDULE when two have one name */
function schedulesOf(
  others: readonly WorkflowDefinition[],
  added: WorkflowDefinition,
): Map<string, ScheduleDefinition> {
  const schedules = new Map<string, ScheduleDefinition>();
  for (const schedule of [...others, added].flatMap((one) => one.schedules)) {
    const taken = schedules.get(schedule.id);
    if (taken) {
      throw new WorkflowError(
        'WF_INVALID_SCHEDULE',
        taken.workflow === schedule.workflow
          ? `Workflow "${schedule.workflow}" has two schedules named "${schedule.id}"`
          : `Schedule name "${schedule.id}" is used by workflow "${taken.workflow}" and by "${schedule.workflow}"`,
      );
    }
    schedules.set(schedule.id, schedule);
  }
  return schedules;
}
