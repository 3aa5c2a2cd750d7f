/** Runs that were enqueued while no worker was there, drained by one process or by two. */
import { cpuOf, msSince, now } from '../machine.js';
import { round } from '../statistics.js';
import { COST, higher, plain, type Workload } from './workload.types.js';

/** @param runs so many for everyone; without it half of what a mode has for `w1` */
const burst = (processes: number, steps: number, runs?: number): Workload => ({
  title: `A burst of ${runs === undefined ? '' : `${runs.toLocaleString('en')} `}runs of ${steps === 1 ? 'one step' : `${steps} steps`}, drained by ${processes === 1 ? 'one process' : `${processes} processes`}`,
  about: 'Enqueued by another process before; from the moment at which the workers are ready.',
  columns: [
    higher('drained/s', 'drainPerS'),
    plain('burst of', 'n'),
    plain('in s', 'drainS'),
    plain('with their boot', 'withBootPerS'),
    plain('enqueued/s', 'enqueuePerS'),
    plain('enqueue CPU ms', 'enqueueCpuMs'),
    ...COST,
  ],
  async run(env, settings) {
    const n = settings.n ?? runs ?? Math.ceil((env.mode.w1n ?? 2000) / 2);
    const capMs = settings.cap ?? 120_000;
    const isLive = !!env.target.peer.needsWorkerToEnqueue;
    if (isLive) await env.addWorker();
    await env.addClient();
    const durable = await env.durable();
    await env.begin();
    const many = { wf: 'seq', input: { n: settings.steps ?? steps }, n, prefix: 'b-', budgetMs: capMs };
    const { t0, t1, started } = await env.client.ask('startMany', many);
    const enqueue = await env.end(n);
    await env.begin();
    const boot = isLive ? t0 : now();
    const missing = processes - env.workers.length;
    await Promise.all(Array.from({ length: missing }, () => env.addWorker()));
    const ready = isLive ? t0 : now();
    const isAll = await env.untilDone(
      started,
      durable === undefined ? undefined : durable + started,
      capMs - msSince(ready),
    );
    const seconds = (now() - ready) / 1e9;
    const got = isAll ? started : env.done;
    const usage = await env.end(Math.max(1, got));
    return {
      n,
      processes,
      got,
      complete: isAll && got === n,
      enqueuePerS: round(started / ((t1 - t0) / 1e9)),
      enqueueCpuMs: enqueue.per.cpuMs,
      drainS: round(seconds),
      drainPerS: round(got / seconds),
      withBootPerS: round(got / (seconds + (ready - boot) / 1e9)),
      split: env.workers.map(({ done }) => done),
      workerCpuS: env.workers.map(({ pid }) => cpuOf(pid)),
      ...usage,
    };
  },
});

export const w3 = burst(1, 1, 10_000);
export const w3x2 = burst(2, 1, 10_000);
export const processes1 = burst(1, 10);
export const processes2 = burst(2, 10);
