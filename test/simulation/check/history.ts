import type { JournalRow } from '../../../lib/engine/journal.js';
import type { CodeEntry } from '../workload/interpreter.js';

/** What becomes durable, in the order in which the database executes it. */
export type DurableEntry =
  | {
      readonly is: 'run';
      readonly execution: string;
      readonly runId: string;
      readonly life: string;
      readonly parent: string | null;
      readonly parentKey: string | null;
    }
  | { readonly is: 'row'; readonly execution: string; readonly row: JournalRow }
  | {
      readonly is: 'ended';
      readonly execution: string;
      readonly status: 'completed' | 'failed' | 'cancelled' | 'continued';
    }
  | { readonly is: 'result'; readonly execution: string; readonly value: string }
  | { readonly is: 'rollbacks'; readonly execution: string; readonly count: number }
  | { readonly is: 'cancelling'; readonly execution: string }
  | { readonly is: 'arrived'; readonly execution: string; readonly id: string; readonly eventId: string }
  | { readonly is: 'taken'; readonly execution: string; readonly id: string; readonly eventId: string }
  | { readonly is: 'leased'; readonly task: string; readonly fence: number; readonly worker: string }
  | {
      readonly is: 'wrote';
      readonly task: string;
      readonly fence: number;
      readonly turn: number | null;
    };

/** What people outside were told. */
export type OutsideEntry =
  | { readonly is: 'accepted'; readonly runId: string }
  | {
      readonly is: 'told';
      readonly runId: string;
      readonly how: 'completed' | 'failed' | 'cancelled';
      readonly value: string;
    }
  | { readonly is: 'cancel'; readonly runId: string; readonly done: boolean }
  | { readonly is: 'calm' }
  | { readonly is: 'over' };

/** What happens to the world; the checker does not look at it. */
export interface WorldEntry {
  readonly is: 'world';
  readonly what: string;
}

export type Entry = { readonly at: number; readonly by: string } & (
  DurableEntry | CodeEntry | OutsideEntry | WorldEntry
);

export type Fact = DurableEntry | CodeEntry | OutsideEntry | WorldEntry;

/** Everything that happened in a world, in order. */
export class History {
  readonly entries: Entry[] = [];

  constructor(private readonly now: () => number) {}

  add(by: string, fact: Fact): void {
    this.entries.push({ at: this.now(), by, ...fact });
  }
}

/** One entry on one line. */
export function lineOf({ at, by, ...fact }: Entry): string {
  const { is, ...rest } = fact;
  const shown = is === 'world' ? (rest as unknown as WorldEntry).what : JSON.stringify(rest);
  return `${at.toFixed(1).padStart(10)}  ${by.padEnd(6)}  ${is.padEnd(8)}  ${shown}`;
}
