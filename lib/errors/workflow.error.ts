import { WORKFLOW_ERRORS, type WorkflowErrorCode } from './codes.js';

const BRAND = Symbol.for('nestjs-workflow:error');

/**
 * Base of every error this library raises. The message says what happened, then what to do, then the code.
 * `statusCode` is the HTTP status that Nest's exception filter answers with. `cause` is kept.
 */
export class WorkflowError extends Error {
  readonly code: WorkflowErrorCode;
  /** HTTP status. Nest's exception filter takes an error for one of HTTP when these three stand together */
  readonly status: number;
  readonly statusCode: number;
  readonly expose = true;

  constructor(code: WorkflowErrorCode, what: string, options?: { cause?: unknown }) {
    super(`${what}${/[.!?]$/.test(what) ? '' : '.'} ${WORKFLOW_ERRORS[code].remedy} [${code}]`, options);
    this.name = new.target.name;
    this.code = code;
    this.status = this.statusCode = WORKFLOW_ERRORS[code].status;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** True for an error of this library, also when two copies of the package are loaded; with `code`, only for that one. */
  static is(error: unknown, code?: WorkflowErrorCode): error is WorkflowError {
    if (typeof error !== 'object' || error === null) return false;
    try {
      return BRAND in error && (code === undefined || (error as unknown as WorkflowError).code === code);
    } catch {
      // a Proxy that does not want to be looked at
      return false;
    }
  }
}
