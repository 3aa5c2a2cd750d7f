import { Injectable } from '@nestjs/common';
import { WorkflowError } from '../errors/index.js';
import { workflowOptionsOf } from '../authoring/index.js';
import type { WorkflowDefinition } from './definition.js';

/** Workflows of this process by class and by name. Filled by the explorer before the application has bootstrapped. */
@Injectable()
export class WorkflowRegistry {
  readonly #byName = new Map<string, WorkflowDefinition>();
  readonly #byType = new Map<unknown, WorkflowDefinition>();

  /** @throws WorkflowError WF_DUPLICATE_WORKFLOW when the name is taken or the class is provided twice */
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
    this.#byName.set(definition.name, definition);
    this.#byType.set(definition.type, definition);
  }

  get(name: string): WorkflowDefinition | undefined {
    return this.#byName.get(name);
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
