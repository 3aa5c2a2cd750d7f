import {
  DurableContext,
  DurableFailureContext,
  runScope,
  type Rollback,
  type WorkflowHandler,
} from '../authoring/index.js';
import { toFailure } from '../engine/failure.js';
import type { Ended, Phase } from '../engine/transition.js';
import { ActivationSession, type SessionDependencies } from './activation-session.js';

/** What a phase after `run` starts from. */
export interface AfterRun {
  readonly ended: Ended;
  readonly rollbacks: readonly Rollback[];
}

/** Starts the code of a phase in its scope. */
export function startCode(
  handler: WorkflowHandler<any, any>,
  phase: Phase,
  after: AfterRun | undefined,
  on: SessionDependencies,
): ActivationSession {
  const session = new ActivationSession(on);
  runScope.run({ session, step: undefined }, () =>
    on.replay.start(() => body(handler, phase, after, session, on)),
  );
  return session;
}

function body(
  handler: WorkflowHandler<any, any>,
  phase: Phase,
  after: AfterRun | undefined,
  session: ActivationSession,
  on: SessionDependencies,
): unknown {
  switch (phase) {
    case 'run':
      return handler.run(new DurableContext(session));
    case 'rollback':
      return undo(new DurableContext(session), after!.rollbacks);
    case 'on-failure':
      return methodOf(
        handler,
        on.definition.onFailure!,
      )(new DurableFailureContext(session, after!.ended.failure));
  }
}

/** The last first; one that fails for good does not keep the others from being undone. */
async function undo(ctx: DurableContext<unknown>, rollbacks: readonly Rollback[]): Promise<void> {
  for (const { name, work, options } of rollbacks.toReversed()) {
    try {
      await ctx.run(name, work, options);
    } catch (error) {
      ctx.logger.error(`Rollback "${name}" of run ${ctx.runId} failed: ${toFailure(error).message}`);
    }
  }
}

function methodOf(handler: object, name: string): (ctx: unknown) => unknown {
  return (ctx) => (handler as Record<string, (ctx: unknown) => unknown>)[name]!(ctx);
}
