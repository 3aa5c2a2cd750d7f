import { WorkflowError } from '../errors/index.js';

/**
 * Reads what a caller has given. A getter or a proxy may throw anything: to the caller that is one more thing that is wrong with
 * what was given, with the code that all of them have.
 * @param what names it in the error
 */
export function given<T>(
  what: string,
  read: () => T,
  code: 'WF_INVALID_ARGUMENT' | 'WF_INVALID_OPTIONS' = 'WF_INVALID_ARGUMENT',
): T {
  try {
    return read();
  } catch (cause) {
    if (WorkflowError.is(cause)) throw cause;
    throw new WorkflowError(code, `${what} cannot be read`, { cause });
  }
}
