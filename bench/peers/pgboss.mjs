// From the shared benchmark of durable-workflow engines; its settings are those that did best there.
// pg-boss (https://github.com/timgit/pg-boss): a queue, no workflow engine. A "workflow" is a chain of jobs, each handler sends the next one.
// Tuned as its documentation says: LISTEN/NOTIFY, batches of 50, four workers, burst when a batch is full, bulk insert.
// Queue baseline: a "workflow" is a chain of jobs, each handler sends the next one.
import { PgBoss } from 'pg-boss';
import fs from 'node:fs';
const HOME = process.env.BENCH_HOME ?? new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const version = JSON.parse(fs.readFileSync(`${HOME}/node_modules/pg-boss/package.json`)).version;
const make = (ctx, w) => {
  const m = ctx.mode;
  const b = new PgBoss({
    connectionString: ctx.url,
    supervise: !!w,
    schedule: false,
    ...(m.pool ? { max: m.pool } : {}),
    ...(m.notify ? { useListenNotify: true } : {}),
  });
  b.on('error', (e) => console.error(e));
  return b;
};
export default {
  name: 'pgboss',
  version,
  modes: {
    default: { works: ['w3'], node: 22, w1n: 10, w3n: 40 }, // batch 1, poll 2 s
    tuned: {
      works: ['w1', 'w3', 'w3x2', 'w4', 'w4p', 'w5', 'w6'],
      node: 22,
      notify: true,
      pool: 20,
      bulk: true,
      // its fetch took 5.9 ms with 2,000 runs, 10 ms with twice 2,000, 13 ms with 4,000 at once: it reads all jobs that wait, and is
      // slower the longer it goes on, so these are fewer than its first seconds ask for
      w1n: 8000,
      wave: 2000,
      work: {
        batchSize: 50,
        localConcurrency: 4,
        pollingIntervalSeconds: 0.5,
        notifyPollingIntervalSeconds: 0.5,
        burstWhenBatchFull: true,
      },
    },
  },
  async setup({ url, mode }) {
    const b = make({ url, mode });
    await b.start();
    await b.createQueue('step', mode.notify ? { notify: true } : {});
    await b.stop({ graceful: false, close: true });
  },
  async doneCount(c, e) {
    const n = +(await c.query(`select count(*) n from pgboss.job where name='step' and state < 'completed'`))
      .rows[0].n;
    return n === 0 ? e.done : -1e9;
  },
  async worker(ctx) {
    const b = make(ctx, true);
    await b.start();
    const one = async ({ data: p }, more) => {
      if (p.k === 'seq') {
        const r = { i: p.i };
        if (p.mark) ctx.step(p.i);
        if (p.i + 1 < p.n) more.push({ ...p, i: p.i + 1, prev: r });
        else ctx.done(p.id);
      } else if (p.k === 'sleeper') {
        ctx.waiting();
        more.push({ k: 'wake', id: p.id, t: ctx.now(), ms: p.ms, startAfter: new Date(Date.now() + p.ms) });
      } else if (p.k === 'wake') {
        ctx.late((ctx.now() - p.t) / 1e6 - p.ms);
        ctx.done(p.id);
      } else if (p.k === 'waiter') ctx.waiting();
      else if (p.k === 'resume') {
        ctx.resumed(p.id, p.sentNs);
        ctx.done(p.id);
      }
    };
    await b.work('step', ctx.mode.work ?? {}, async (jobs) => {
      const more = [];
      for (const j of jobs) await one(j, more);
      if (more.length === 1)
        await b.send('step', more[0], more[0].startAfter ? { startAfter: more[0].startAfter } : {});
      else if (more.length)
        await b.insert(
          'step',
          more.map((d) => ({ data: d, ...(d.startAfter ? { startAfter: d.startAfter } : {}) })),
        );
    });
    return { stop: () => b.stop({ graceful: false, close: true }) };
  },
  async client(ctx) {
    const b = make(ctx);
    await b.start();
    const data = (wf, p) => (wf === 'seq' ? { k: 'seq', i: 0, ...p } : { k: wf, ...p });
    return {
      start: (wf, p) => b.send('step', data(wf, p)),
      startMany: (wf, ps) =>
        b.insert(
          'step',
          ps.map((p) => ({ data: data(wf, p) })),
        ),
      result: async () => {},
      signal: (id, v) => b.send('step', { k: 'resume', id, ...v }),
      stop: () => b.stop({ graceful: false, close: true }),
    };
  },
};
