import { Injectable, Logger } from '@nestjs/common';
import { mismatchIn } from '../engine/plan.js';
import { WorkflowError } from '../errors/index.js';
import type { Task } from '../ports/index.js';
import type { Activation } from '../runtime/activation.js';
import { Inspector } from '../runtime/inspector.js';

/** How long code that awaits something of its own may take until two replays of it stand alike. */
const PATIENCE_MS = 500;
const LOOK_MS = 5;

/**
 * Replays each activation a second time from its own journal: a `run` whose decisions come from elsewhere asks for something
 * else then, in a test as after a crash. Keeps what it found until the bench tells it.
 */
@Injectable()
export class ReplayInspector extends Inspector {
  readonly #logger = new Logger('Workflow');
  readonly #problems: unknown[] = [];

  async advanced(activation: Activation): Promise<void> {
    const { runId } = activation.header;
    const stuck = mismatchIn(activation.journal, activation.standing.open, runId);
    const problem = stuck ?? (await this.#replayed(activation));
    if (!problem) return;
    if (!stuck) this.#logger.error(problem.message);
    this.#problems.push(problem);
  }

  undelivered(_task: Task, error: unknown): void {
    const cause = error instanceof Error ? error.cause : undefined;
    const problem = WorkflowError.is(cause) ? cause : error;
    if (!WorkflowError.is(problem, 'WF_SHUTTING_DOWN')) this.#problems.push(problem);
  }

  unscheduled(error: unknown): void {
    this.#problems.push(error);
  }

  /** Throws the first thing that went wrong since the last call. */
  tell(): void {
    const problems = this.#problems.splice(0);
    if (problems.length > 0) throw problems[0];
  }

  async #replayed(first: Activation): Promise<WorkflowError | undefined> {
    const { outcome } = first.standing;
    // nothing was recorded that could be compared
    if (outcome && !outcome.ok && WorkflowError.is(outcome.error, 'WF_NO_PROGRESS')) return undefined;
    const again = await first.shadow();
    try {
      const mismatch = mismatchIn(again.journal, again.standing.open, first.header.runId);
      if (mismatch) return mismatch;
      const until = performance.now() + PATIENCE_MS;
      let difference = differenceOf(first, again);
      while (difference !== undefined && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        await again.replayOnly();
        difference = differenceOf(first, again);
      }
      if (difference === undefined) return undefined;
      const { runId, workflow } = first.header;
      return new WorkflowError(
        'WF_NON_DETERMINISM',
        `Run ${runId} of "${workflow}" is not deterministic: ${difference}. Let \`run\` decide by its payload, ` +
          'the answers of steps, ctx.now() and ctx.random() alone, never by the time, by chance or by what is kept outside',
      );
    } finally {
      again.discard();
    }
  }
}

function differenceOf(first: Activation, again: Activation): string | undefined {
  const asked = openKeys(first);
  const askedAgain = openKeys(again);
  const skipped = new Set(first.journal.undelivered.map(({ key }) => key));
  const unasked = again.journal.undelivered
    .map(({ key }) => key)
    .filter((key) => !skipped.has(key) && !again.isAbandoned(key));
  const missing = [...unasked, ...asked.filter((key) => !askedAgain.includes(key))];
  const instead = askedAgain.filter((key) => !asked.includes(key));
  if (missing.length > 0 || instead.length > 0) {
    return `at first it asked for ${listed(missing, first)}, and replayed for ${listed(instead, again)}`;
  }
  const [end, endAgain] = [endOf(first), endOf(again)];
  return end === endAgain ? undefined : `at first it ${end}, and replayed it ${endAgain}`;
}

const openKeys = (activation: Activation): string[] => activation.standing.open.map(({ key }) => key);

const listed = (keys: readonly string[], activation: Activation): string =>
  keys.length === 0
    ? `nothing more (it ${endOf(activation)})`
    : keys.map((key) => JSON.stringify(key)).join(', ');

function endOf({ standing: { outcome, exit } }: Activation): string {
  if (exit) return exit.to === 'cancelled' ? 'cancelled itself' : 'went on as a new execution';
  if (!outcome) return 'waits';
  return outcome.ok ? 'returned' : 'threw';
}
