import type { Delivery, Loaded } from '../ports/index.js';

/**
 * True when a delivery says of its task what the task is. One that names another run, workflow or step, under a lease that is good,
 * comes from a dispatcher that is wrong: other code would be replayed on this journal, or a step answered for another one.
 */
export const isFor = ({ header, step = null }: Loaded, delivery: Delivery): boolean =>
  header.runId === delivery.runId &&
  header.workflow === delivery.workflow &&
  step === (delivery.step ?? null) &&
  // a step that was leased goes on when its run is moved to another version meanwhile
  (step !== null || header.version === delivery.version);
