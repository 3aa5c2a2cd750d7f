import { Logger } from '@nestjs/common';
import { runScope, type RunScope } from '../authoring/index.js';

/**
 * A rejection that escapes from an abandoned branch of a run (a `Promise.race` that was lost, a call nobody awaited) is
 * attributed to the run and never ends the process. Every other one is treated as if this library were not there.
 */
export class RejectionGuard {
  static #users = 0;
  static readonly #logger = new Logger('Workflow');

  static install(): () => void {
    if (this.#users++ === 0) process.on('unhandledRejection', this.#onRejection);
    let installed = true;
    return () => {
      if (installed && --this.#users === 0) process.off('unhandledRejection', this.#onRejection);
      installed = false;
    };
  }

  static readonly #onRejection = (reason: unknown, promise: Promise<unknown>): void => {
    const scope = scopeOf(promise);
    if (scope) {
      const { runId, workflow } = scope.session.info;
      this.#logger.warn(
        `Run ${runId} of "${workflow}": a call that nobody awaits has failed: ${String(reason)}`,
      );
    } else if (process.listenerCount('unhandledRejection') === 1) {
      // Node's default would have thrown it; only our listener stands in the way
      throw reason;
    }
  };
}

/**
 * The run in whose code the promise was made. Newer versions of Node call the listener in the context of the rejection;
 * Node 20 does not, but keeps the context on the promise, under a symbol of the AsyncLocalStorage.
 */
function scopeOf(promise: Promise<unknown>): RunScope | undefined {
  const current = runScope.getStore();
  if (current) return current;
  const symbol = (runScope as unknown as { kResourceStore?: symbol }).kResourceStore;
  return symbol === undefined
    ? undefined
    : (promise as unknown as Record<symbol, RunScope | undefined>)[symbol];
}
