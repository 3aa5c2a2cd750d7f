import type { Duration } from './duration.js';

export interface NotifyResult {
  /** runs that waited for the event and go on */
  woken: string[];
  /** true: nobody waits yet, and the event is kept */
  kept: boolean;
}

export interface NotifyOptions {
  /** only this run; the event is kept until the run waits for it or ends */
  runId?: string;
  /** without `runId`: how long the event is kept for runs that wait later @default not at all */
  keepFor?: Duration;
}

export interface TriggerOptions {
  /** the run's id, unique: triggering it again gives the same run @default a random UUID */
  runId?: string;
  /** start so much later */
  delay?: Duration;
  /** start then; not together with `delay` */
  notBefore?: Date;
  /** for filters of `list` and `cancel` */
  labels?: string[];
}

export interface InvokeOptions {
  /** the child's run id, unique: one that exists already is refused @default a UUID that comes from the step */
  runId?: string;
  /** of the child */
  labels?: string[];
  /** what a cancel of this run means for the child: it is cancelled too, or goes on @default 'cancel' */
  onParentCancel?: 'cancel' | 'abandon';
}
