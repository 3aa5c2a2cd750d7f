/** As many runs as it can do: throughput, and what a run costs when they share commits. */
import type { Environment } from '../environment.js';
import { msSince, now } from '../machine.js';
import { round } from '../statistics.js';
import { COST, higher, plain, type Overrides, type Workload } from './workload.types.js';

export interface Throughput {
  readonly n: number;
  readonly got: number;
  readonly complete: boolean;
  readonly runsPerS: number;
  readonly stepsPerS: number;
}

/** The environment has begun; `per` is of one run. */
export async function saturate(
  env: Environment,
  given: { n: number; steps: number; prefix: string; conc?: number; capMs?: number; input?: object },
): Promise<Throughput & Record<string, unknown>> {
  const { n, steps, prefix, conc = 100, capMs = 90_000, input } = given;
  const [done, durable] = [env.done, await env.durable()];
  await env.begin();
  const many = { wf: 'seq', input: { n: steps, ...input }, n, prefix, conc, budgetMs: capMs };
  const { t0, started } = await env.client.ask('startMany', many);
  const left = Math.max(1000, capMs - msSince(t0));
  const isAll = await env.untilDone(
    done + started,
    durable === undefined ? undefined : durable + started,
    left,
  );
  const seconds = (now() - t0) / 1e9;
  const got = isAll ? started : env.done - done;
  const usage = await env.end(Math.max(1, got));
  return {
    n,
    got,
    complete: isAll && got === n,
    wallS: round(seconds),
    runsPerS: round(got / seconds),
    stepsPerS: round((got * steps) / seconds),
    ...usage,
  };
}

const columns = [higher('steps/s', 'stepsPerS'), plain('runs/s', 'runsPerS'), ...COST];

const of = (title: string, about: string, defaults: { n?: number; input?: object }): Workload => ({
  title,
  about,
  columns: [...columns, plain('WAL KiB', 'per.walKib')],
  async run(env, settings: Overrides) {
    await env.begun();
    return saturate(env, {
      n: settings.n ?? defaults.n ?? env.mode.w1n ?? 2000,
      steps: settings.steps ?? 10,
      prefix: 'a-',
      ...(settings.conc !== undefined && { conc: settings.conc }),
      ...(settings.cap !== undefined && { capMs: settings.cap }),
      ...(defaults.input && { input: defaults.input }),
    });
  },
});

export const w1 = of(
  'Runs of 10 steps, saturated',
  '100 callers start runs of 10 steps as fast as they are accepted; until the last one is durably completed. Costs are of one run.',
  {},
);

export const pglite = of(
  'Runs of 10 steps on embedded PGlite',
  'The same in one process with the database in its memory.',
  { n: 1000 },
);

const BYTES = { 'payload-100': 100, 'payload-1k': 1000, 'payload-10k': 10_000, 'payload-100k': 100_000 };
const ofPayload = (bytes: number): Workload =>
  of(
    `Runs of 10 steps, each with a result of ${bytes.toLocaleString('en')} bytes`,
    'As the first, with results of text that does not compress well.',
    { n: bytes >= 100_000 ? 200 : bytes >= 10_000 ? 1000 : 2000, input: { bytes } },
  );
export const payloads = Object.fromEntries(
  Object.entries(BYTES).map(([name, bytes]) => [name, ofPayload(bytes)]),
);
