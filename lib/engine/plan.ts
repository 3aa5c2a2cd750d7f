import { NonDeterminismError } from './errors.js';
import type { Journal, JournalRow } from './journal.js';
import type { Ask } from './replay.js';

/** What an activation does next, once the code has run dry. */
export type Plan =
  /** execute this one step here: nothing else of the run is outstanding */
  | { readonly do: 'execute'; readonly ask: Ask; readonly attempt: number }
  /** give the lease back; steps become tasks of their own; `dueAt` is the earliest moment at which time alone answers something */
  | { readonly do: 'suspend'; readonly dispatch: readonly JournalRow[]; readonly dueAt: number | null }
  /** start these here, beside each other and what executes already; with none, one of those that execute is waited for */
  | { readonly do: 'start'; readonly asks: readonly Ask[] }
  /** the code awaits something that is not durable */
  | { readonly do: 'listen' };

/** What an activation that may execute several steps at a time has under way. */
export interface Beside {
  /** true of a step that executes here, under the lease of the run */
  readonly executes: (key: string) => boolean;
  /** so many more may be started now */
  readonly places: number;
  /** what finds no place may wait for one here; else it becomes a task, for whoever has a place */
  readonly mayWait: boolean;
}

/** A first row for an ask that has none: what it waits for and since when. Executable asks get one only when they become tasks. */
export function pendingRow(ask: Ask, now: number): JournalRow {
  const { kind, name, sleep, event, digest, timeoutMs, call } = ask.request;
  const wakeAt =
    sleep !== undefined
      ? 'ms' in sleep
        ? now + sleep.ms
        : sleep.until
      : kind === 'wait' && timeoutMs != null
        ? now + timeoutMs
        : null;
  return {
    key: ask.key,
    name,
    kind,
    state: 'pending',
    position: null,
    answer: null,
    attempts: 0,
    askedAt: now,
    finishedAt: null,
    wakeAt,
    event: event ?? null,
    eventId: null,
    dispatched: false,
    digest: digest ?? null,
    request: call ?? null,
  };
}

export const isExecutable = (ask: Ask): boolean => ask.request.execute !== undefined;

/**
 * A wait has its row from the moment it is asked, as has a poll, whose time counts from then; everything else gets one when
 * something is done for it.
 */
export const isWait = ({ request }: Ask): boolean =>
  request.kind === 'sleep' || request.kind === 'wait' || request.kind === 'poll';

/** Executed inline where nothing else is outstanding; with flow control never, so that each attempt is claimed. */
const isInline = (ask: Ask): boolean => isExecutable(ask) && ask.request.flow === undefined;

/** Done under a task of its own, always: an external call, which no process of the run waits for. */
const hasTask = (ask: Ask): boolean => isExecutable(ask) || ask.request.call !== undefined;

/** Child runs that are asked for and not started. */
export const unstarted = (journal: Journal, open: readonly Ask[]): Ask[] =>
  open.filter((ask) => ask.request.start !== undefined && journal.get(ask.key) === undefined);

/** A step of which nothing is recorded: no time and no other process has anything to do with it. (A poll has its row at once.) */
const isFresh = (journal: Journal, ask: Ask): boolean => isInline(ask) && journal.get(ask.key) === undefined;

/**
 * Decides what happens next from what is asked and not answered.
 * A step is executed inline only if nothing else of the run is outstanding: so a ten-minute step never holds up a timeout
 * beside it, and parallel steps are parallel calls. A step with flow control of its own is never executed inline.
 * In-process (`beside`) parallel steps execute beside each other under the lease of the run, for as long as nothing but such steps is
 * outstanding; a first wait, retry or call makes tasks of all of them, also of those that execute (see side-steps.ts).
 */
export function planFor(journal: Journal, open: readonly Ask[], now: number, beside?: Beside): Plan {
  const only = open.length === 1 ? open[0]! : undefined;
  if (only !== undefined && isInline(only) && !beside?.executes(only.key)) {
    const row = journal.get(only.key);
    if (row === undefined) return { do: 'execute', ask: only, attempt: 1 };
    if (!row.dispatched && (row.wakeAt === null || row.wakeAt <= now)) {
      return { do: 'execute', ask: only, attempt: row.attempts + 1 };
    }
    return { do: 'suspend', dispatch: [], dueAt: row.dispatched ? null : row.wakeAt };
  }
  if (open.length === 0) return { do: 'listen' };
  return (beside && startable(journal, open, beside)) ?? suspended(journal, open, now);
}

function startable(journal: Journal, open: readonly Ask[], beside: Beside): Plan | undefined {
  if (!open.every((ask) => isFresh(journal, ask))) return undefined;
  const waiting = open.filter(({ key }) => !beside.executes(key));
  if (waiting.length > beside.places && !beside.mayWait) return undefined;
  return { do: 'start', asks: waiting.slice(0, beside.places) };
}

function suspended(journal: Journal, open: readonly Ask[], now: number): Plan {
  const dispatch: JournalRow[] = [];
  let dueAt: number | null = null;
  for (const ask of open) {
    const row = journal.get(ask.key);
    if (hasTask(ask)) {
      if (row?.dispatched !== true) dispatch.push({ ...(row ?? pendingRow(ask, now)), dispatched: true });
    } else if (row?.wakeAt != null) {
      dueAt = dueAt === null ? row.wakeAt : Math.min(dueAt, row.wakeAt);
    }
  }
  return { do: 'suspend', dispatch, dueAt };
}

/** A key that comes back as another kind: the code was changed under a run in flight. */
export function mismatchIn(
  journal: Journal,
  open: readonly Ask[],
  runId: string,
): NonDeterminismError | undefined {
  for (const ask of open) {
    const row = journal.get(ask.key);
    if (row !== undefined && row.kind !== ask.request.kind) {
      return new NonDeterminismError(runId, ask.key, row.kind, ask.request.kind);
    }
  }
  return undefined;
}
