// From the shared benchmark of durable-workflow engines; its settings are those that did best there.
// graphile-worker (https://worker.graphile.org): a queue, no workflow engine. A "workflow" is a chain of jobs, each task adds the next one.
// Tuned with its documented preset for benchmarks: local queue, batched completion, concurrency 24.
// Queue baseline: a "workflow" is a chain of jobs, each task adds the next one.
import { run, makeWorkerUtils, Logger } from 'graphile-worker';
import fs from 'node:fs';
const HOME = process.env.BENCH_HOME ?? new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const version = JSON.parse(fs.readFileSync(`${HOME}/node_modules/graphile-worker/package.json`)).version;
const logger = new Logger(() => (lvl, msg) => {
  if (lvl === 'error') console.error(msg);
});
const data = (wf, p) => (wf === 'seq' ? { k: 'seq', i: 0, ...p } : { k: wf, ...p });
export default {
  name: 'graphile',
  version,
  modes: {
    default: { works: ['w1'], node: 22, w1n: 900 }, // concurrency 1, poll 2 s + LISTEN/NOTIFY
    tuned: { works: ['w1', 'w3', 'w3x2', 'w6'], node: 22, bulk: true, concurrency: 24, pool: 26, w1n: 2000 }, // the documented benchmark preset: local queue, batched completion
    c24: { works: ['w1', 'w4', 'w4p', 'w5'], node: 22, concurrency: 24, pool: 26, noLocal: true, w1n: 1700 },
  },
  async setup({ url }) {
    const u = await makeWorkerUtils({ connectionString: url, logger });
    await u.migrate();
    await u.release();
  },
  async doneCount(c, e) {
    const n = +(await c.query('select count(*) n from graphile_worker._private_jobs')).rows[0].n;
    return n === 0 ? e.done : -1e9;
  },
  async worker(ctx) {
    const m = ctx.mode;
    const taskList = {
      step: async (p, h) => {
        if (p.k === 'seq') {
          const r = { i: p.i };
          if (p.mark) ctx.step(p.i);
          if (p.i + 1 < p.n) await h.addJob('step', { ...p, i: p.i + 1, prev: r });
          else ctx.done(p.id);
        } else if (p.k === 'sleeper') {
          ctx.waiting();
          await h.addJob(
            'step',
            { k: 'wake', id: p.id, t: ctx.now(), ms: p.ms },
            { runAt: new Date(Date.now() + p.ms) },
          );
        } else if (p.k === 'wake') {
          ctx.late((ctx.now() - p.t) / 1e6 - p.ms);
          ctx.done(p.id);
        } else if (p.k === 'waiter') ctx.waiting();
        else if (p.k === 'resume') {
          ctx.resumed(p.id, p.sentNs);
          ctx.done(p.id);
        }
      },
    };
    const r = await run({
      connectionString: ctx.url,
      taskList,
      logger,
      noHandleSignals: true,
      ...(m.concurrency ? { concurrency: m.concurrency, maxPoolSize: m.pool } : {}),
      ...(m.concurrency && !m.noLocal
        ? {
            preset: {
              worker: {
                localQueue: { size: 500, ttl: 300000, refetchDelay: { durationMs: 100, threshold: 0 } },
                completeJobBatchDelay: 0,
                failJobBatchDelay: 0,
              },
            },
          }
        : {}),
    });
    return { stop: () => r.stop() };
  },
  async client(ctx) {
    const u = await makeWorkerUtils({ connectionString: ctx.url, logger });
    return {
      start: (wf, p) => u.addJob('step', data(wf, p)),
      startMany: (wf, ps) => u.addJobs(ps.map((p) => ({ identifier: 'step', payload: data(wf, p) }))),
      result: async () => {},
      signal: (id, v) => u.addJob('step', { k: 'resume', id, ...v }),
      stop: () => u.release(),
    };
  },
};
