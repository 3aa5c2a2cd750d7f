import { runScope } from '../authoring/index.js';
import { WorkflowError } from '../errors/index.js';

/** @throws WorkflowError WF_SIDE_EFFECT_IN_RUN in `run` of a workflow, outside its steps */
export function refuseInRun(call: string): void {
  const scope = runScope.getStore();
  if (!scope || scope.step) return;
  const { runId, workflow } = scope.session.info;
  throw new WorkflowError(
    'WF_SIDE_EFFECT_IN_RUN',
    `client.${call} is called in run of workflow "${workflow}" (${runId}), where each replay would repeat it`,
  );
}
