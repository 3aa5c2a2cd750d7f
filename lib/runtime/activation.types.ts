import type { Ask, Exit, Outcome } from '../engine/replay.js';
import type { AdvanceCommit, Chance, Clock, Codec, Lease, Probe, RunEffects } from '../ports/index.js';
import type { Capacity } from './capacity.js';
import type { RuntimeConfig } from './config.js';
import type { JournalWriter } from './journal-writer.js';
import type { LocalEnds } from './local-ends.js';
import type { SideStep } from './side-steps.js';
import type { StepRunner } from './step-runner.js';

export interface ActivationDependencies {
  readonly writer: JournalWriter;
  readonly steps: StepRunner;
  readonly capacity: Capacity;
  /** this process, as leases name it */
  readonly worker: string;
  readonly codec: Codec;
  readonly effects: RunEffects;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly ends: LocalEnds;
  readonly config: RuntimeConfig;
  readonly probe: Probe | null;
  /** the code asked for something after the activation had ended */
  readonly onLateAsk: (execution: string, closed: boolean) => void;
}

/** How one delivery ended for the run. */
export type ActivationEnd =
  | { readonly next: 'continue' }
  /** `dueAt`: when time alone makes the run due again; with `waits` the lease is kept until kept events were looked for */
  | {
      readonly next: 'waiting';
      readonly dueAt: number | null;
      readonly waits: readonly string[];
      readonly dispatched: number;
      /** steps that go on executing here, under tasks of their own that are leased to this process */
      readonly left: readonly SideStep[];
    }
  | { readonly next: 'finished'; readonly how: AdvanceCommit['next'] }
  | { readonly next: 'lost' };

export interface AdvanceOptions {
  readonly lease: Lease;
  /** steps that may be executed before the lease is handed over */
  readonly budget: number;
  /** true where a second delivery under the same fence is possible: commits are counted and compared */
  readonly guarded: boolean;
  /** true once this process has taken over the lease: the run is not continued by a reply, but given back */
  readonly adopted: () => boolean;
}

export type Next = AdvanceCommit['next'];

/** What the code asks for at one moment, and whether it has ended. */
export interface Standing {
  readonly open: readonly Ask[];
  readonly outcome: Outcome | undefined;
  readonly exit: Exit | undefined;
}
