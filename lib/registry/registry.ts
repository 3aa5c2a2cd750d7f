import { Injectable } from '@nestjs/common';
import { WorkflowError } from '../errors/index.js';
import { workflowOptionsOf } from '../authoring/index.js';
import type { ScheduleDefinition, WorkflowDefinition } from './definition.js';

/** Workflows of this process by class and by name. Filled by the explorer before the application has bootstrapped. */
@Injectable()
export class WorkflowRegistry {
  readonly #byName = new Map<string, WorkflowDefinition>();
  readonly #byType = new Map<unknown, WorkflowDefinition>();
  readonly #schedules = new Map<string, ScheduleDefinition>();

  /**
   * @throws WorkflowError WF_DUPLICATE_WORKFLOW when the name is taken or the class is provided twice, WF_INVALID_SCHEDULE when
   * the name of a schedule is taken
   */
  add(definition: WorkflowDefinition): void {
    const taken = this.#byName.get(definition.name);
    if (taken) {
      throw new WorkflowError(
        'WF_DUPLICATE_WORKFLOW',
        taken.type === definition.type
          ? `Workflow class ${definition.type.name} ("${definition.name}") is provided twice`
          : `Workflow name "${definition.name}" is used by ${taken.type.name} and by ${definition.type.name}`,
      );
    }
    for (const schedule of definition.schedules) this.#addSchedule(schedule);
    this.#byName.set(definition.name, definition);
    this.#byType.set(definition.type, definition);
  }

  get(name: string): WorkflowDefinition | undefined {
    return this.#byName.get(name);
  }

  /** Schedules that stand on the classes, and by their id. */
  get schedules(): ReadonlyMap<string, ScheduleDefinition> {
    return this.#schedules;
  }

  #addSchedule(schedule: ScheduleDefinition): void {
    const taken = this.#schedules.get(schedule.id);
    if (taken) {
      throw new WorkflowError(
        'WF_INVALID_SCHEDULE',
        taken.workflow === schedule.workflow
          ? `Workflow "${schedule.workflow}" has two schedules named "${schedule.id}"`
          : `Schedule name "${schedule.id}" is used by workflow "${taken.workflow}" and by "${schedule.workflow}"`,
      );
    }
    this.#schedules.set(schedule.id, schedule);
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }

  /**
   * The definition of a class or a name.
   * @throws WorkflowError WF_UNKNOWN_WORKFLOW, WF_INVALID_ARGUMENT
   */
  resolve(workflow: unknown): WorkflowDefinition {
    if (typeof workflow === 'string') {
      const found = this.#byName.get(workflow);
      if (found) return found;
      throw new WorkflowError(
        'WF_UNKNOWN_WORKFLOW',
        `Workflow "${workflow}" is not known here (known: ${this.names().join(', ') || 'none'})`,
      );
    }
    const found = this.#byType.get(workflow);
    if (found) return found;
    if (typeof workflow !== 'function')
      throw new WorkflowError('WF_INVALID_ARGUMENT', 'A workflow is given by its class or its name');
    throw new WorkflowError(
      'WF_UNKNOWN_WORKFLOW',
      workflowOptionsOf(workflow)
        ? `Workflow class ${workflow.name} is marked @Workflow but not provided`
        : `Class ${workflow.name} is not marked @Workflow`,
    );
  }
}
