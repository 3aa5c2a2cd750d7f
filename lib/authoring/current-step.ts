import { WorkflowError } from '../errors/index.js';
import type { StepContext } from './context.js';
import { runScope } from './session.js';

/**
 * The step that is executing here, in any provider it calls.
 * @throws WorkflowError WF_NO_STEP outside of a step, also in a @Step method that was called as a plain method
 */
export function currentStep(): StepContext {
  const step = runScope.getStore()?.step;
  if (!step) throw new WorkflowError('WF_NO_STEP', 'There is no step here');
  return step;
}
