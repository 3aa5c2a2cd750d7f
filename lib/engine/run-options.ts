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
