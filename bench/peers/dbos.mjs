// From the shared benchmark of durable-workflow engines; its settings are those that did best there.
// DBOS Transact (https://docs.dbos.dev): in-process with its defaults; through a queue polled every 50 ms with 100 runs at a time, as its
// documentation says for many workers. More connections or a queue made w1 no faster here.
import { DBOS, DBOSClient } from '@dbos-inc/dbos-sdk';
import { createRequire } from 'node:module';
import fs from 'node:fs';
const HOME = process.env.BENCH_HOME ?? new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const version = JSON.parse(fs.readFileSync(`${HOME}/node_modules/@dbos-inc/dbos-sdk/package.json`)).version;
const pool = (m) => (m.pool ? { systemDatabasePoolSize: m.pool } : {});

export default {
  name: 'dbos',
  version,
  modes: {
    // in-process DBOS.startWorkflow, everything at its default (pool 10)
    default: {
      works: ['w1', 'w1lat', 'w2', 'w2k', 'w4', 'w4p', 'w4i', 'w5', 'w6', 'w7', 'trig', 'child'],
      embedded: true,
      w1n: 1800,
      trign: 9000,
    },
    pool30: { works: ['w1'], embedded: true, pool: 30, w1n: 1800 },
    // a separate client process enqueues on a queue; queue defaults (poll 1 s, no limit)
    queue: { queue: true, w1n: 2000 },
    // queue polled every 50 ms, worker concurrency 100, pool 20
    queueTuned: { works: ['w3', 'w3x2'], queue: true, pool: 20, poll: 50, workerConcurrency: 100, w1n: 2000 },
  },
  async setup({ url, mode }) {
    if (mode.queue) await DBOS.migrate(url);
  }, // the client of W3 comes before any worker
  async doneCount(c) {
    try {
      return +(await c.query(`select count(*) n from dbos.workflow_status where status='SUCCESS'`)).rows[0].n;
    } catch {
      return 0;
    }
  },
  async worker(ctx) {
    const m = ctx.mode;
    DBOS.setConfig({
      name: 'bench',
      systemDatabaseUrl: ctx.url,
      logLevel: 'error',
      applicationVersion: 'v1',
      executorID: 'w' + ctx.index,
      ...pool(m),
    });
    const wfs = {};
    wfs.seq = DBOS.registerWorkflow(
      async (p) => {
        for (let i = 0; i < p.n; i++) {
          await DBOS.runStep(async () => ({ i }), { name: 's' + i });
          if (p.mark) ctx.step(i);
        }
        ctx.done(p.id);
        return p.n;
      },
      { name: 'seq' },
    );
    wfs.fan = DBOS.registerWorkflow(
      async (p) => {
        await Promise.all(
          Array.from({ length: p.n }, (_, i) => DBOS.runStep(async () => ({ i }), { name: 's' + i })),
        );
        ctx.done(p.id);
        return p.n;
      },
      { name: 'fan' },
    );
    wfs.sleeper = DBOS.registerWorkflow(
      async (p) => {
        const t = await DBOS.runStep(async () => ctx.now(), { name: 't' });
        ctx.waiting();
        await DBOS.sleep(p.ms);
        ctx.late((ctx.now() - t) / 1e6 - p.ms);
        ctx.done(p.id);
        return 1;
      },
      { name: 'sleeper' },
    );
    wfs.waiter = DBOS.registerWorkflow(
      async (p) => {
        ctx.waiting();
        const v = await DBOS.recv('go', { timeoutSeconds: 3600 });
        ctx.resumed(p.id, v?.sentNs);
        ctx.done(p.id);
        return 1;
      },
      { name: 'waiter' },
    );
    wfs.child = DBOS.registerWorkflow(async () => DBOS.runStep(async () => ({ i: 0 }), { name: 's' }), {
      name: 'child',
    });
    wfs.parent = DBOS.registerWorkflow(
      async (p) => {
        const t = ctx.now();
        const h = await DBOS.startWorkflow(wfs.child)();
        await h.getResult();
        ctx.late((ctx.now() - t) / 1e6);
        ctx.done(p.id);
        return 1;
      },
      { name: 'parent' },
    );
    await DBOS.launch();
    if (m.queue)
      await DBOS.registerQueue('q', {
        ...(m.workerConcurrency ? { workerConcurrency: m.workerConcurrency } : {}),
        ...(m.poll ? { minPollingIntervalMs: m.poll } : {}),
        onConflict: 'always_update',
      });
    return {
      api: {
        start: (wf, input, id) => DBOS.startWorkflow(wfs[wf], { workflowID: id })(input),
        result: (h) => h.getResult(),
        signal: (id, v) => DBOS.send(id, v, 'go'),
      },
      stop: () => DBOS.shutdown({ workflowCompletionTimeoutMS: 1 }),
    };
  },
  async client(ctx) {
    const c = await DBOSClient.create({
      systemDatabaseUrl: ctx.url,
      applicationName: 'bench',
      ...(ctx.mode.pool ? { systemDatabasePoolSize: ctx.mode.pool } : {}),
    });
    return {
      start: (wf, input, id) =>
        c.enqueue({ queueName: 'q', workflowName: wf, workflowID: id, appVersion: 'v1' }, input),
      result: (h) => h.getResult(),
      signal: (id, v) => c.send(id, v, 'go'),
      stop: () => c.destroy(),
    };
  },
};
