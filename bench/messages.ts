/** What the harness and the processes of a run say to each other. */
import type { Mode } from './peer.types.js';
import type { Percentiles } from './statistics.js';

export interface ChildSpec {
  /** path of the peer's module */
  readonly peer: string;
  readonly mode: Mode;
  readonly role: 'worker' | 'client' | 'both';
  readonly index: number;
  readonly url: string;
}

export interface Many {
  readonly wf: string;
  readonly input: Record<string, unknown>;
  readonly n: number;
  readonly prefix: string;
  readonly conc?: number;
  /** starts per second; 0 or left out: as fast as it goes */
  readonly rate?: number;
  readonly budgetMs?: number;
}

export interface Started {
  readonly t0: number;
  readonly t1: number;
  readonly started: number;
  /** of `closed`: nothing is kept of each run of `startMany`, which goes on while they are done */
  readonly latency?: Percentiles;
}

export interface Timed {
  readonly id: string;
  readonly t0: number;
  readonly t1: number;
  readonly t2: number;
}

export interface Offered {
  readonly offered: number;
  readonly accepted: number;
  readonly refused: number;
  /** from the moment at which each was due, not from when it was sent */
  readonly latency?: Percentiles;
  readonly t0: number;
  readonly t1: number;
}

export interface Marks {
  /** bodies that have ended since the process began: as of this answer, where `count` may be some ms behind */
  readonly done: number;
  readonly doneAt: Record<string, number>;
  readonly stepAt: number[];
  readonly late: number[];
  /** how often step functions were called, of how many different steps, and the most for one of them, since the process
   * began; only in a mode that is audited */
  readonly executed: { readonly calls: number; readonly steps: number; readonly most: number };
}

/** The commands of a process, and their answers. */
export interface Commands {
  keep(given: { done?: boolean; steps?: boolean }): boolean;
  marks(given: object): Marks;
  startMany(given: Many): Promise<Started>;
  /** one at a time, from start to result */
  oneByOne(given: Many): Promise<Timed[]>;
  /** so many callers, each from start to result, again and again */
  closed(given: Many): Promise<Started>;
  /** a rate that does not ask how it goes */
  offer(given: Many & { seconds: number; rate: number }): Promise<Offered>;
  signal(given: { id: string }): Promise<{ sentNs: number; ackMs: number }>;
  completed(given: object): Promise<number>;
  stop(given: object): Promise<boolean>;
}

export type Told =
  | { readonly type: 'ready' }
  | { readonly type: 'fatal'; readonly error: string }
  | { readonly type: 'count'; readonly done: number; readonly waiting: number }
  | { readonly type: 'resumed'; readonly id: string; readonly ns: number }
  | { readonly type: 'reply'; readonly seq: number; readonly value?: unknown; readonly error?: string };
