import type { StepOptions } from '../authoring/index.js';

/** The options of the module, with every default applied and every duration in ms. */
export abstract class RuntimeConfig {
  /** false: nothing is claimed here */
  abstract readonly worker: boolean;
  abstract readonly concurrency: number;
  abstract readonly pollMs: number;
  abstract readonly heartbeatMs: number;
  abstract readonly leaseTimeoutMs: number;
  /** how long a thread of its own beats while the main thread is blocked; 0: there is none */
  abstract readonly maxBlockedMs: number;
  abstract readonly shutdownGraceMs: number;
  abstract readonly steps: StepOptions;
  abstract readonly stepsPerCall: number;
  abstract readonly maxPayloadBytes: number;
  /** external calls: limit of one attempt, of a response body, and how many at a time */
  abstract readonly calls: {
    readonly timeoutMs: number;
    readonly maxResponseBytes: number;
    readonly concurrency: number;
  };
  abstract readonly maxSteps: number;
  /** how long the code may await something that is not durable before the run fails as WF_NO_PROGRESS */
  abstract readonly activationTimeoutMs: number;
  /** in-process: parallel steps execute beside each other in the activation that asks for them; false: each is a task, for any process */
  abstract readonly sideSteps: boolean;
  /** activations kept in memory between two deliveries of a run; 0: each delivery replays from the journal */
  abstract readonly parkLimit: number;
  /** losses without progress after which a run fails as WF_WORKER_LOST */
  abstract readonly maxLosses: number;
  /** NOTIFY at most once in this time: it takes a database-wide lock at commit */
  abstract readonly announceMs: number;
}

/** Longer journals are not read with the lease, but by themselves, beyond what is parked here. */
export const READ_ROWS = 32;
