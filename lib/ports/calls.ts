import type { CallOutcome, CallRequest } from '../engine/call.js';

export type { CallOutcome, CallRequest, CallResponse, StoredBody } from '../engine/call.js';

/** Makes external calls. Holds no rule of runs: what becomes of an outcome is decided elsewhere. */
export abstract class CallPerformer {
  /**
   * One attempt of a call, with its redirects, within its `timeoutMs`. What goes wrong is an outcome.
   * @throws the reason of the signal once it fires: the connection is cut, and what the other side has done is unknown
   */
  abstract perform(request: CallRequest, signal: AbortSignal): Promise<CallOutcome>;
  /** Cuts all connections. */
  abstract close(): Promise<void>;
}
