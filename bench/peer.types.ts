/** What an engine has to bring along to be measured: one file in peers/, whose default export is a `Peer`. */
import type pg from 'pg';

/** What is asked of an engine besides `done`, by name; peers do what they can. */
export interface Report {
  /** of the database of this run */
  readonly url: string;
  readonly mode: Mode;
  /** of this worker process, from 0 on */
  readonly index: number;
  now(): number;
  /** a body has come to its end */
  done(id: string): void;
  /** a body has come to its sleep or wait */
  waiting(): void;
  /** a body goes on after the event that was sent then */
  resumed(id: string, sentNs: number): void;
  late(ms: number): void;
  /** step `i` of a run that is marked has been done */
  step(i: number): void;
  /** the function of a step was called: more than once for a key is once too often */
  executed?(key: string): void;
}

export interface Api {
  start(workflow: string, input: Input, id: string): Promise<unknown>;
  /** the documented way to enqueue many */
  startMany?(workflow: string, inputs: Input[], ids: string[]): Promise<unknown>;
  result?(handle: unknown, id: string): Promise<unknown>;
  signal?(id: string, value: { sentNs: number }): Promise<unknown>;
  /** how many runs its own tables call completed, where the harness cannot ask them */
  completed?(): Promise<number>;
  stop?(): Promise<unknown>;
}

export interface Input {
  readonly id?: string;
  readonly [name: string]: unknown;
}

/** One way to set an engine up. What is not listed here is the peer's own. */
export interface Mode {
  readonly name: string;
  /** the client lives in the worker's process */
  readonly embedded?: boolean;
  /** major version of Node that it needs */
  readonly node?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** enqueue through `startMany` */
  readonly bulk?: boolean;
  /** runs of `w1` and of `trig` that take it some 15 to 20 s */
  readonly w1n?: number;
  readonly trign?: number;
  /** it is, or may be, slower the more runs wait to be done: `w1` gives it no more than these at a time */
  readonly wave?: number;
  /** the workloads that it can do; all of them when left out */
  readonly works?: readonly string[];
  /** what is different for a workload */
  readonly of?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** each execution of a step is counted */
  readonly audit?: boolean;
  /** it brings its own database: none of the counters of PostgreSQL tells anything */
  readonly ownDatabase?: boolean;
  readonly [name: string]: unknown;
}

export interface Server {
  readonly pids?: number[];
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  readonly modes: Readonly<Record<string, Omit<Mode, 'name'>>>;
  /** what it enqueues can only be enqueued while a worker is there */
  readonly needsWorkerToEnqueue?: boolean;
  setup?(given: { url: string; mode: Mode; db: string; c: pg.Client }): Promise<Server | undefined>;
  teardown?(server: Server | undefined): Promise<void>;
  afterWorker?(given: { mode: Mode; index: number }): Promise<void>;
  worker(report: Report): Promise<{ stop?(): Promise<unknown>; api?: Api }>;
  client?(report: Report): Promise<Api>;
  /** number of runs that its own tables call completed */
  doneCount?(client: pg.Client, env: { readonly done: number; readonly after?: string }): Promise<number>;
}
