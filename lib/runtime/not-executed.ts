import { NonRetryableError } from '../engine/errors.js';
import { workerLost } from '../engine/transition.js';

/** Outcomes of steps and calls that are not executed any more; another attempt would be refused as well. */
const refused = (message: string): { readonly ok: false; readonly error: NonRetryableError } => ({
  ok: false,
  error: new NonRetryableError(message),
});

/** It was given up: so many processes were lost with it. */
export const lostTooOften = (what: string, times: number): ReturnType<typeof refused> =>
  refused(workerLost(what, times).message);

/** `run` had asked for it, and has failed since. */
export const runFailedBefore = (): ReturnType<typeof refused> =>
  refused('The run failed before this step was executed');
