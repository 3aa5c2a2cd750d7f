import type { Duration } from './duration.js';
import type { FlowControl } from './flow-control.js';
import type { Singleton } from './singleton.js';

/** What an event has reached. */
export interface NotifyResult {
  /** runs that waited for the event and go on */
  woken: string[];
  /** true: nobody waits yet, and the event is kept */
  kept: boolean;
}

/** Options of an event: whom it is for, or how long it is kept. */
export interface NotifyOptions {
  /** only this run; the event is kept until the run waits for it or ends */
  runId?: string;
  /** without `runId`: how long the event is kept for runs that wait later @default not at all */
  keepFor?: Duration;
}

/** Options of a new run. */
export interface TriggerOptions {
  /** the run's id, unique: triggering it again gives the same run @default a random UUID */
  runId?: string;
  /** start so much later */
  delay?: Duration;
  /** start then; not together with `delay` */
  notBefore?: Date;
  /** for filters of `list` and `cancel` */
  labels?: string[];
  /** limits for everything with this key; covers all that is executed for the run @default that of @Workflow */
  flowControl?: FlowControl;
  /** from -10 to 10, smaller first: of the due runs (and steps) of a workflow these are started before all others @default 0 */
  priority?: number;
  /** one run at a time for this key, and what becomes of the others @default that of @Workflow */
  singleton?: Singleton;
}

/** Options of `ctx.invoke`. */
export interface InvokeOptions {
  /** the child's run id, unique: one that exists already is refused @default a UUID that comes from the step */
  runId?: string;
  /** of the child */
  labels?: string[];
  /** what a cancel of this run means for the child: it is cancelled too, or goes on @default 'cancel' */
  onParentCancel?: 'cancel' | 'abandon';
  /** of the child; that of this run is not inherited @default that of the child's @Workflow */
  flowControl?: FlowControl;
  /** of the child @default 0 */
  priority?: number;
}
