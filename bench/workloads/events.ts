/** A run that waits, and the event that it waits for. */
import { setTimeout as pause } from 'node:timers/promises';
import { percentiles } from '../statistics.js';
import { COST, lower, plain, type Workload } from './workload.types.js';

const SETTLE_MS = 2500;
const MISSED_MS = 15_000;

export const w5: Workload = {
  title: 'An event, to the run that waits for it',
  about:
    '200 runs wait; one after another is sent its event, 5 to 50 ms apart. From the call that sends it to the line after the wait.',
  columns: [
    lower('resume p50 ms', 'resume.p50'),
    plain('p99', 'resume.p99'),
    plain('sent p50', 'ack.p50'),
    ...COST,
  ],
  async run(env, settings) {
    const n = settings.n ?? 200;
    await env.begun();
    const waiting = env.waiting;
    await env.client.ask('startMany', { wf: 'waiter', input: {}, n, prefix: 'w-', conc: 20 });
    if (!(await env.until(() => env.waiting - waiting >= n, 60_000)))
      throw new Error(`${env.waiting - waiting} of ${n} runs came to their wait`);
    await pause(SETTLE_MS);
    await env.begin();
    const [resume, ack]: [number[], number[]] = [[], []];
    let missed = 0;
    for (let i = 0; i < n; i++) {
      const id = `w-${i}`;
      const resumed = new Promise<number>((resolve) => {
        for (const worker of env.workers) worker.onResumed = (heard, ns) => heard === id && resolve(ns);
      });
      const sent = await env.client.ask('signal', { id });
      ack.push(sent.ackMs);
      const at = await Promise.race([resumed, pause(MISSED_MS, undefined, { ref: false })]);
      if (at === undefined) missed++;
      else resume.push((at - sent.sentNs) / 1e6);
      await pause(5 + Math.random() * 45);
    }
    const usage = await env.end(n);
    return {
      n,
      missed,
      complete: missed === 0,
      resume: percentiles(resume),
      ack: percentiles(ack),
      ...usage,
    };
  },
};
