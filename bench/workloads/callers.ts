/** Runs that are triggered by requests: one by one, and more of them than can be done. */
import { setTimeout as pause } from 'node:timers/promises';
import { msSince, now, rssOf } from '../machine.js';
import { round } from '../statistics.js';
import { COST, higher, lower, plain, type Workload } from './workload.types.js';

export const trig: Workload = {
  title: 'One-step runs, triggered one by one by 100 callers',
  about: 'Each caller starts a run, awaits its result, and starts the next one.',
  columns: [
    higher('runs/s', 'runsPerS'),
    plain('start to result p50 ms', 'latency.p50'),
    plain('p99', 'latency.p99'),
    plain('in s', 'wallS'),
    ...COST,
  ],
  async run(env, settings) {
    const n = settings.n ?? env.mode.trign ?? (env.mode.w1n ?? 2000) * 5;
    await env.begun();
    await env.begin();
    const given = { wf: 'seq', input: { n: 1 }, n, prefix: 't-', conc: settings.conc ?? 100 };
    const { t0, t1, started, latency } = await env.client.ask('closed', {
      ...given,
      budgetMs: settings.cap ?? 60_000,
    });
    const usage = await env.end(started);
    const seconds = (t1 - t0) / 1e9;
    // a cap only ends it sooner: each one that was started is done
    return {
      n: started,
      complete: true,
      wallS: round(seconds),
      runsPerS: round(started / seconds),
      latency,
      ...usage,
    };
  },
};

const SAMPLE_MS = 5000;

export const overload: Workload = {
  title: 'Twice as many triggers as can be done, for 60 s',
  about:
    'Runs of 10 steps are offered at twice the throughput that 300 callers reach in 5 s before; then all that was accepted has to end. Latency is counted from the moment at which a trigger was due.',
  runs: 1,
  columns: [
    lower('trigger p99 ms', 'trigger.p99'),
    plain('p50', 'trigger.p50'),
    plain('max', 'trigger.max'),
    plain('capacity/s', 'capacityPerS'),
    plain('offered/s', 'offeredPerS'),
    plain('offered', 'offered'),
    plain('refused', 'refused'),
    plain('lost', 'lost'),
    plain('worker MiB after 10 s', 'rss.early'),
    plain('at the end', 'rss.late'),
    plain('backlog drained in s', 'drainS'),
  ],
  async run(env, settings) {
    const seconds = settings.seconds ?? 60;
    const steps = settings.steps ?? 10;
    await env.begun();
    const capacity = await env.client.ask('closed', {
      wf: 'seq',
      input: { n: steps },
      n: 1e9,
      prefix: 'c-',
      conc: settings.conc ?? 300,
      budgetMs: settings.probe ?? 5000,
    });
    const capacityPerS = capacity.started / ((capacity.t1 - capacity.t0) / 1e9);
    const rate = Math.round(capacityPerS * (settings.times ?? 2));
    const before = await env.durable();
    await env.begin();
    const samples: { s: number; worker: number | undefined; client: number | undefined }[] = [];
    const begun = now();
    const look = (): void => {
      const [worker, client] = [rssOf(env.workers[0]!.pid), rssOf(env.client.pid)];
      samples.push({ s: Math.round(msSince(begun) / 1000), worker, client });
    };
    const timer = setInterval(look, SAMPLE_MS);
    const given = { wf: 'seq', input: { n: steps }, n: 0, prefix: 'o-', rate, seconds };
    const offer = await env.client.ask('offer', given);
    const doneMeanwhile = ((await env.durable()) ?? NaN) - (before ?? NaN);
    const drain = now();
    const isDrained = await env.until(
      async () =>
        ((await env.durable()) ?? NaN) - (before ?? NaN) >= offer.accepted || !(await pause(1000, true)),
      settings.cap ?? 240_000,
    );
    clearInterval(timer);
    look();
    const drainS = msSince(drain) / 1000;
    const completed = ((await env.durable()) ?? NaN) - (before ?? NaN);
    const usage = await env.end(completed);
    const at = (s: number) => samples.find((sample) => sample.s >= s)?.worker;
    return {
      capacityPerS: round(capacityPerS),
      offeredPerS: rate,
      offered: offer.offered,
      refused: offer.refused,
      doneMeanwhile,
      lost: offer.accepted - completed,
      complete: isDrained && completed === offer.accepted && offer.refused === 0,
      trigger: offer.latency,
      drainS: round(drainS),
      rss: { early: at(10), late: at(seconds), samples },
      ...usage,
    };
  },
};
