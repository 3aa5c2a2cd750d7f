// This project as one more peer of the shared benchmark: copy (or link) this file to its peers/nestjs-workflow.mjs and run
//   NESTJS_WORKFLOW=/path/to/this/repository node run.mjs --peer nestjs-workflow --mode in-process,http --work w1,w1lat --runs 3
// The package is taken from `dist/`, so run `npm run build` first.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const root = process.env.NESTJS_WORKFLOW ?? new URL('..', import.meta.url).pathname;
const require = createRequire(pathToFileURL(`${root}/package.json`));
const load = (name) =>
  import(pathToFileURL(name === 'nestjs-workflow' ? `${root}/dist/index.js` : require.resolve(name)));
const { version } = require(`${root}/package.json`);

/** The four workflows of the benchmark, as classes; `report` is the benchmark's context. */
function workflows({ Workflow, defineEvent }, report) {
  const Go = defineEvent('go');
  class Seq {
    async run(ctx) {
      const { n, id, mark } = ctx.payload;
      for (let i = 0; i < n; i++) {
        await ctx.run('s', async () => ({ i }));
        if (mark) report.step(i);
      }
      report.done(id);
      return n;
    }
  }
  class Fan {
    async run(ctx) {
      const { n, id } = ctx.payload;
      await Promise.all(Array.from({ length: n }, (_, i) => ctx.run('s', async () => ({ i }))));
      report.done(id);
      return n;
    }
  }
  class Sleeper {
    async run(ctx) {
      const { ms, id } = ctx.payload;
      let isFirst = false;
      const started = await ctx.run('t', async () => {
        isFirst = true;
        return report.now();
      });
      if (isFirst) report.waiting();
      await ctx.sleep('z', `${ms}ms`);
      report.late((report.now() - started) / 1e6 - ms);
      report.done(id);
      return 1;
    }
  }
  class Waiter {
    async run(ctx) {
      const { id } = ctx.payload;
      let isFirst = false;
      await ctx.run('t', async () => (isFirst = true));
      if (isFirst) report.waiting();
      const { data } = await ctx.waitForEvent('go', Go(id));
      report.resumed(id, data?.sentNs);
      report.done(id);
      return 1;
    }
  }
  const all = { seq: Seq, fan: Fan, sleeper: Sleeper, waiter: Waiter };
  for (const [name, type] of Object.entries(all)) Workflow({ name })(type);
  return { all, Go };
}

async function worker(report) {
  await load('reflect-metadata');
  const library = await load('nestjs-workflow');
  const { Module } = await load('@nestjs/common');
  const { NestFactory } = await load('@nestjs/core');
  const { all, Go } = workflows(library, report);
  const { transport, concurrency } = report.mode;
  class App {}
  Module({
    imports: [
      library.WorkflowModule.forRoot({ database: { url: report.url }, transport, worker: { concurrency } }),
    ],
    providers: Object.values(all),
  })(App);
  const { FastifyAdapter } = await load('@nestjs/platform-fastify');
  const app = await NestFactory.create(App, new FastifyAdapter(), { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  const scheduler = app.get(library.WorkflowScheduler);
  while (!scheduler.running) await new Promise((resolve) => setTimeout(resolve, 10));
  const client = app.get(library.WorkflowClient);
  return {
    api: {
      start: (name, input, id) => client.trigger(all[name], input, { runId: id }),
      startMany: (name, inputs, ids) =>
        client.triggerMany(
          all[name],
          inputs.map((payload, i) => ({ payload, runId: ids[i] })),
        ),
      result: (handle) => handle.result(),
      signal: (id, value) => client.notify(Go(id), value, { runId: id }),
    },
    stop: () => app.close(),
  };
}

export default {
  name: 'nestjs-workflow',
  version,
  modes: {
    'in-process': { embedded: true, transport: 'in-process', concurrency: 300, w1n: 4000 },
    http: { embedded: true, transport: 'http', concurrency: 100, w1n: 1000 },
  },
  worker,
  async doneCount(client) {
    const { rows } = await client
      .query(`select count(*) as n from workflow_run where status = 'completed'`)
      .catch(() => ({ rows: [{ n: 0 }] }));
    return Number(rows[0].n);
  },
};
