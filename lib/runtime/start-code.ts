import { DurableContext, DurableFailureContext, runScope, type WorkflowHandler } from '../authoring/index.js';
import type { Failure } from '../engine/failure.js';
import { ActivationSession, type SessionDependencies } from './activation-session.js';

/** Keys of what the @OnFailure method does. */
export const FAILURE_PREFIX = 'onFailure/';

/** Starts `run`, or (once the run has failed) the @OnFailure method, in its scope. */
export function startCode(
  handler: WorkflowHandler<any, any>,
  failure: Failure | undefined,
  on: SessionDependencies,
): ActivationSession {
  const session = new ActivationSession(on);
  const { replay, definition } = on;
  const body = failure
    ? () => methodOf(handler, definition.onFailure!)(new DurableFailureContext(session, failure))
    : () => handler.run(new DurableContext(session));
  runScope.run({ session, step: undefined }, () => replay.start(body));
  return session;
}

function methodOf(handler: object, name: string): (ctx: unknown) => unknown {
  return (ctx) => (handler as Record<string, (ctx: unknown) => unknown>)[name]!(ctx);
}
