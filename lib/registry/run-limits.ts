import { resolveFlowControl, type FlowControl } from '../engine/flow-control.js';
import { resolveSingleton, type Singleton } from '../engine/singleton.js';
import type { ResolvedFlow } from '../engine/flow-control.js';
import type { WorkflowDefinition } from './definition.js';

/**
 * What limits a run: what its trigger says, else what its workflow says, whose keys may come from the payload.
 * @throws WorkflowError WF_INVALID_FLOW_CONTROL, WF_INVALID_ARGUMENT
 */
export function runLimits(
  definition: WorkflowDefinition,
  runId: string,
  payload: unknown,
  given: { flowControl?: FlowControl; singleton?: Singleton } = {},
): { flow: ResolvedFlow | null; singleton: Singleton | null } {
  const flow = given.flowControl ?? definition.flowControl;
  const singleton = given.singleton ?? definition.singleton;
  return {
    flow: flow === undefined ? null : resolveFlowControl(flow, `run ${runId}`, [payload]),
    singleton: singleton === undefined ? null : resolveSingleton(singleton, [payload]),
  };
}
