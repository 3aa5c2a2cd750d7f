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
  const t0 = now();
  const left = (): number => Math.max(1000, capMs - msSince(t0));
  const wave = env.mode.wave ?? n;
  let started = 0;
  for (let at = 0; at < n; at += wave) {
    // the wave before has to be done, or it would be a backlog again
    if (at > 0 && !(await env.until(() => env.done - done >= started, left()))) break;
    const many = { n: Math.min(wave, n - at), prefix: at === 0 ? prefix : `${prefix}${at}-` };
    const given = { wf: 'seq', input: { n: steps, ...input }, ...many, conc, budgetMs: left() };
    started += (await env.client.ask('startMany', given)).started;
  }
  const isAll = await env.untilDone(
    done + started,
    durable === undefined ? undefined : durable + started,
    left(),
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

const columns = [
  higher('steps/s', 'stepsPerS'),
  plain('runs/s', 'runsPerS'),
  plain('in s', 'wallS'),
  ...COST,
];

interface Defaults {
  /** at most so many runs, whoever it is */
  readonly n?: number;
  /** of what a mode has for `w1` */
  readonly share?: number;
  readonly input?: object;
}

const of = (title: string, about: string, { n, share = 1, input }: Defaults): Workload => ({
  title,
  about,
  columns: [...columns, plain('WAL KiB', 'per.walKib')],
  async run(env, settings: Overrides) {
    await env.begun();
    return saturate(env, {
      n: settings.n ?? Math.min(Math.ceil((env.mode.w1n ?? 2000) * share), n ?? Infinity),
      steps: settings.steps ?? 10,
      prefix: 'a-',
      ...(settings.conc !== undefined && { conc: settings.conc }),
      ...(settings.cap !== undefined && { capMs: settings.cap }),
      ...(input && { input }),
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
/** A gigabyte of results is enough. */
const MOST_BYTES = 1e9;
const ofPayload = (bytes: number): Workload =>
  of(
    `Runs of 10 steps, each with a result of ${bytes.toLocaleString('en')} bytes`,
    'As the first, with results of text that does not compress well.',
    { share: 0.5, n: MOST_BYTES / (10 * bytes), input: { bytes } },
  );
export const payloads = Object.fromEntries(
  Object.entries(BYTES).map(([name, bytes]) => [name, ofPayload(bytes)]),
);
