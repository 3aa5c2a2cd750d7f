import type { EvidenceLine } from '../evidence.js';
import { AWAITS, FINAL_STEP } from '../triage.workflow.js';

/** A flush takes milliseconds: a step that was done so long before the kill must have been journaled. */
const SURELY_JOURNALED_MS = 2_000;

export interface Audit {
  /** executions that were brought to an end: lines `done` */
  steps: number;
  /** further attempts after one that failed */
  retried: number;
  /** executions of a step whose result had been journaled: against promise 1 */
  reexecuted: number;
  /** executions that the kill took away before their result was journaled, and that were repeated: what promise 1 allows */
  interrupted: number;
  /** how long before the kill the earliest of the interrupted ones had been done */
  interruptedMs: number;
  /** runs whose final step, the one with the effect, was executed again without that excuse */
  doubled: Set<string>;
}

/**
 * Judges from the evidence file alone. Whether a result had been journaled when its step was executed again cannot be
 * read from outside directly, but it follows from promise 2 (a result is journaled before anything that depends on it
 * starts). So a repetition is a re-execution if
 *
 * - between the first `done` and the repetition there is a line of something that awaits the step, directly or not: of a
 *   later step (`start`), or of the wait or the end of the run (`seen` by the driver). Steps that run in parallel with it
 *   prove nothing about it: they await the same predecessors, not each other;
 * - or the process that had done it was not killed since, and so knew the result;
 * - or it had been done more than two seconds before the kill. This catches what the first rule cannot: a step that
 *   nothing has built on yet because a parallel one is in backoff, or because the run waits or sleeps.
 *
 * All other repetitions are interruptions: the process was killed while it executed the step, or after it and before the
 * result was durable.
 */
export function audit(lines: readonly EvidenceLine[], kills: ReadonlyMap<number, number>): Audit {
  const result: Audit = {
    steps: 0,
    retried: 0,
    reexecuted: 0,
    interrupted: 0,
    interruptedMs: 0,
    doubled: new Set(),
  };
  const runs = new Map<string, EvidenceLine[]>();
  for (const line of lines) {
    const run = runs.get(line.run);
    if (run) run.push(line);
    else runs.set(line.run, [line]);
  }
  for (const run of runs.values()) auditRun(run, kills, result);
  return result;
}

function auditRun(lines: EvidenceLine[], kills: ReadonlyMap<number, number>, result: Audit): void {
  /** the last line of each step */
  const last = new Map<string, EvidenceLine>();
  /** steps that something has been built on */
  const builtOn = new Set<string>();
  /** attempts after a failed one; a kill can let the same one start twice */
  const retries = new Set<string>();

  for (const line of lines) {
    const { step, attempt, outcome } = line;
    if (outcome === 'start' || outcome === 'seen') NEEDED.get(step)?.forEach((needed) => builtOn.add(needed));
    if (outcome === 'seen') continue;
    if (outcome === 'done') result.steps++;

    const before = last.get(step);
    last.set(step, line);
    if (outcome !== 'start' || !before) continue;

    const killedAt = before.pid === line.pid ? undefined : kills.get(before.pid);
    if (before.outcome === 'done') {
      const age = killedAt === undefined ? Infinity : killedAt - before.at;
      if (builtOn.has(step) || age > SURELY_JOURNALED_MS) {
        result.reexecuted++;
        if (step === FINAL_STEP) result.doubled.add(line.run);
      } else {
        result.interrupted++;
        result.interruptedMs = Math.max(result.interruptedMs, age);
      }
    } else if (before.outcome === 'failed' && attempt > before.attempt) {
      retries.add(`${step} ${attempt}`);
    } else if (killedAt !== undefined) {
      result.interrupted++;
    }
  }
  result.retried += retries.size;
}

/** All that each step awaits, directly or through others. */
const NEEDED: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.keys(AWAITS).map((step) => {
    const needed = new Set<string>();
    const add = (of: string): void => AWAITS[of]?.forEach((key) => needed.add(key) && add(key));
    add(step);
    return [step, needed];
  }),
);
