// From the shared benchmark of durable-workflow engines; its settings are those that did best there.
// OpenWorkflow (https://openworkflow.dev): concurrency 50 instead of its default of 1, and a pool of 20.
import { OpenWorkflow } from 'openworkflow';
import { BackendPostgres } from 'openworkflow/postgres';
import postgres from 'postgres';
import fs from 'node:fs';
const HOME = process.env.BENCH_HOME ?? new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const version = JSON.parse(fs.readFileSync(`${HOME}/node_modules/openworkflow/package.json`)).version;

async function backend(ctx) {
  if (!ctx.mode.pool) return BackendPostgres.connect(ctx.url, { namespaceId: 'bench' }); // postgres.js pool, max 10
  const { newPostgresMaxOne, newPostgres } = await import(
    `${HOME}/node_modules/openworkflow/dist/postgres/postgres.js`
  );
  const sql = newPostgres
    ? newPostgres(ctx.url, { max: ctx.mode.pool })
    : postgres(ctx.url, { max: ctx.mode.pool });
  return BackendPostgres.fromPool(sql, { namespaceId: 'bench' });
}
function define(ow, ctx) {
  const w = {};
  w.seq = ow.defineWorkflow({ name: 'seq' }, async ({ input: p, step }) => {
    for (let i = 0; i < p.n; i++) {
      await step.run({ name: 's' + i }, async () => ({ i }));
      if (p.mark) ctx.step(i);
    }
    ctx.done(p.id);
    return p.n;
  });
  w.fan = ow.defineWorkflow({ name: 'fan' }, async ({ input: p, step }) => {
    await Promise.all(
      Array.from({ length: p.n }, (_, i) => step.run({ name: 's' + i }, async () => ({ i }))),
    );
    ctx.done(p.id);
    return p.n;
  });
  w.sleeper = ow.defineWorkflow({ name: 'sleeper' }, async ({ input: p, step }) => {
    let first = false;
    const t = await step.run({ name: 't' }, async () => {
      first = true;
      return ctx.now();
    });
    if (first) ctx.waiting();
    await step.sleep('z', `${p.ms}ms`);
    ctx.late((ctx.now() - t) / 1e6 - p.ms);
    ctx.done(p.id);
    return 1;
  });
  w.waiter = ow.defineWorkflow({ name: 'waiter' }, async ({ input: p, step }) => {
    let first = false;
    await step.run({ name: 't' }, async () => {
      first = true;
      return 1;
    });
    if (first) ctx.waiting();
    const s = await step.waitForSignal({ signal: 'go:' + p.id });
    ctx.resumed(p.id, s?.data?.sentNs);
    ctx.done(p.id);
    return 1;
  });
  return w;
}
const api = (ow, w, b) => ({
  start: (wf, input) => w[wf].run(input),
  result: (h) => h.result(),
  signal: (id, v) => ow.sendSignal({ signal: 'go:' + id, data: v }),
  stop: () => b.stop(),
});

export default {
  name: 'openworkflow',
  version,
  modes: {
    default: { works: ['w1'], w1n: 200, w3n: 3000 }, // worker concurrency 1 (its default), pool 10
    tuned: {
      works: ['w1', 'w1lat', 'w2', 'w3', 'w3x2', 'w4', 'w4p', 'w4i', 'w5', 'w6', 'w7'],
      concurrency: 50,
      pool: 20,
      // its claim reads all live runs: half of its CPU in PostgreSQL with 1,000 of them
      w1n: 2000,
      wave: 1000,
    },
    c10: { works: ['w1'], concurrency: 10, pool: 10, w1n: 2000, wave: 1000 },
  },
  async setup({ url }) {
    const b = await BackendPostgres.connect(url, { namespaceId: 'bench' });
    await b.stop();
  },
  async doneCount(c) {
    return +(
      await c.query(
        `select count(*) n from openworkflow.workflow_runs where status in ('completed','succeeded')`,
      )
    ).rows[0].n;
  },
  async worker(ctx) {
    const b = await backend(ctx),
      ow = new OpenWorkflow({ backend: b });
    define(ow, ctx);
    const k = ow.newWorker(ctx.mode.concurrency ? { concurrency: ctx.mode.concurrency } : undefined);
    await k.start();
    return {
      stop: async () => {
        await k.stop();
        await b.stop();
      },
    };
  },
  async client(ctx) {
    const b = await backend({ ...ctx, mode: { pool: ctx.mode.pool } }),
      ow = new OpenWorkflow({ backend: b });
    return api(ow, define(ow, ctx), b);
  },
};
