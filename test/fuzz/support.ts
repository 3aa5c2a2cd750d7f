import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { WORKFLOW_ERRORS, WorkflowError } from 'nestjs-workflow';
import { SHARES, type Share } from './shares.js';

/**
 * How many cases: `FUZZ_RUNS=10` makes ten times as many as CI does, `FUZZ_RUNS=0.01` a hundredth. The seed is the same in each
 * CI run, so that no build fails for a reason that its change did not bring; `FUZZ_SEED=random` takes another, which a failure
 * prints with the path to its case, and `FUZZ_SEED=… FUZZ_PATH=…` plays that one case again.
 */
const TIMES = Number(process.env.FUZZ_RUNS ?? 1);
const SEED = process.env.FUZZ_SEED ?? '20261123';
const PATH = process.env.FUZZ_PATH;

const parameters = <T>(numRuns: number): fc.Parameters<T> => ({
  numRuns,
  ...(SEED !== 'random' && { seed: Number(SEED) }),
  ...(PATH !== undefined && { path: PATH }),
  asyncReporter: report,
});

/** Without calling a getter of the case or asking a proxy: some of them throw. */
async function report<T>({
  failed,
  seed,
  counterexample,
  counterexamplePath,
  errorInstance,
}: fc.RunDetails<T>): Promise<void> {
  if (!failed) return;
  const shown = inspect(counterexample, { depth: 6, showProxy: true, breakLength: 110 }).slice(0, 4000);
  throw new Error(
    `FUZZ_SEED=${seed} FUZZ_PATH=${counterexamplePath} fails with ${inspectSafely(errorInstance)}\nof ${shown}`,
    {
      cause: errorInstance,
    },
  );
}

/** Cases of one file: each of its properties makes a part of them, and in the end all were made. */
export class Cases {
  readonly #total: number;
  #made = 0;

  constructor(share: Share) {
    this.#total = SHARES[share];
    afterAll(() => {
      // a single property was asked for, or one failed, or one case is played again
      if (this.#made > 0 && this.#finished.size === this.#declared) this.#check();
    });
  }

  #declared = 0;
  readonly #finished = new Set<string>();

  #check(): void {
    if (PATH === undefined) expect(this.#made).toBeGreaterThanOrEqual(Math.floor(this.#total * TIMES));
  }

  /** A test: the property holds for so many cases (times `FUZZ_RUNS`). */
  property<T>(
    name: string,
    cases: number,
    arbitrary: fc.Arbitrary<T>,
    holds: (value: T) => Promise<void> | void,
  ): void {
    this.#declared++;
    it(name, { timeout: 300_000 * Math.max(1, TIMES) }, async () => {
      const property = fc.asyncProperty(arbitrary, async (value) => {
        this.#made++;
        await holds(value);
      });
      await fc.assert(property, parameters<[T]>(Math.max(1, Math.ceil(cases * TIMES))));
      this.#finished.add(name);
    });
  }
}

/** Nothing but an error of this library, with a code that is documented, and a text that a person can read. */
export function expectWorkflowError(error: unknown): void {
  if (!WorkflowError.is(error))
    throw new Error(`It is no WorkflowError: ${inspectSafely(error)}`, { cause: error });
  expect(Object.keys(WORKFLOW_ERRORS)).toContain(error.code);
  // names, labels and keys may be 512 characters long, and two of them may stand in one message
  expect(error.message.length).toBeLessThan(5000);
}

function inspectSafely(value: unknown): string {
  try {
    return value instanceof Error ? (value.stack ?? value.message) : String(value);
  } catch {
    return 'something that has no text';
  }
}

/** What a call gives or throws, whether at once or later. */
export async function outcomeOf<T>(
  call: () => T | Promise<T>,
): Promise<{ ok: true; value: T } | { ok: false; error: unknown }> {
  try {
    return { ok: true, value: await call() };
  } catch (error) {
    return { ok: false, error };
  }
}

/** Gives something of use, or an error of this library. */
export async function givesOrRefuses<T>(call: () => T | Promise<T>): Promise<T | undefined> {
  const outcome = await outcomeOf(call);
  if (outcome.ok) return outcome.value;
  expectWorkflowError(outcome.error);
  return undefined;
}
