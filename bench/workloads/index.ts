/** All workloads, by the names with which they are asked for, in the order in which they are reported. */
import { w4i, w7 } from './asleep.js';
import { processes1, processes2, w3, w3x2 } from './burst.js';
import { overload, trig } from './callers.js';
import { child } from './children.js';
import { w5 } from './events.js';
import { history } from './history.js';
import { journal100, journal5000, w6 } from './journal.js';
import { w1lat, w2, w2k } from './latency.js';
import { payloads, pglite, w1 } from './saturated.js';
import { w4, w4p } from './timers.js';
import type { Workload } from './workload.types.js';

export type { Column, Overrides, Workload } from './workload.types.js';

export const WORKLOADS: Readonly<Record<string, Workload>> = {
  w1,
  w1lat,
  w2,
  w2k,
  trig,
  w3,
  w3x2,
  w4,
  w4p,
  w5,
  w6,
  child,
  w4i,
  w7,
  overload,
  history,
  pglite,
  'processes-1': processes1,
  'processes-2': processes2,
  'journal-100': journal100,
  'journal-5000': journal5000,
  ...payloads,
};
