// This project as a peer: of the benchmark in this folder, and of the shared one whose shape it has. There: copy (or link) this
// file to its peers/nestjs-workflow.mjs and run
//   NESTJS_WORKFLOW=/path/to/this/repository node run.mjs --peer nestjs-workflow --mode in-process,http --work w1,w1lat --runs 3
//   NESTJS_WORKFLOW=… node run.mjs --peer nestjs-workflow --mode in-process-client --work w3,w3x2 --runs 3
// The package is taken from `dist/`, so run `npm run build` first.
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const root = process.env.NESTJS_WORKFLOW ?? new URL('..', import.meta.url).pathname;
const require = createRequire(pathToFileURL(`${root}/package.json`));
const load = (name) =>
  import(pathToFileURL(name === 'nestjs-workflow' ? `${root}/dist/index.js` : require.resolve(name)));
const { version } = require(`${root}/package.json`);

/** Texts of one length: random, so that PostgreSQL does not compress them to nothing. */
const texts = new Map();
const textOf = (bytes) => {
  if (!texts.has(bytes)) texts.set(bytes, randomBytes(Math.ceil((bytes * 3) / 4)).toString('base64'));
  return texts.get(bytes);
};

/** The workflows of the benchmark, as classes; `report` is the benchmark's context. */
function workflows({ Workflow, defineEvent }, report) {
  const Go = defineEvent('go');
  class Seq {
    async run(ctx) {
      const { n, id, mark, bytes } = ctx.payload;
      for (let i = 0; i < n; i++) {
        await ctx.run('s', async () => {
          report.executed?.(`${id}/${i}`);
          return bytes ? { i, text: textOf(bytes) } : { i };
        });
        if (mark) report.step(i);
      }
      report.done(id);
      return n;
    }
  }
  class Fan {
    async run(ctx) {
      const { n, id } = ctx.payload;
      const step = async (i) => {
        report.executed?.(`${id}/${i}`);
        return { i };
      };
      await Promise.all(Array.from({ length: n }, (_, i) => ctx.run('s', () => step(i))));
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
  class Child {
    async run(ctx) {
      return ctx.run('s', async () => ({ i: 0 }));
    }
  }
  const invokedAt = new Map();
  class Parent {
    async run(ctx) {
      const { id } = ctx.payload;
      // the first time that the code came here: it may be executed again when the child has ended
      if (!invokedAt.has(id)) invokedAt.set(id, report.now());
      await ctx.invoke('child', Child);
      report.late((report.now() - invokedAt.get(id)) / 1e6);
      invokedAt.delete(id);
      report.done(id);
      return 1;
    }
  }
  const all = { seq: Seq, fan: Fan, sleeper: Sleeper, waiter: Waiter, child: Child, parent: Parent };
  for (const [name, type] of Object.entries(all)) Workflow({ name })(type);
  return { all, Go };
}

/** The application around the workflows; with `worker: false` it only triggers and sends. */
async function application(report, options) {
  await load('reflect-metadata');
  const library = await load('nestjs-workflow');
  const { Module } = await load('@nestjs/common');
  const { all, Go } = workflows(library, report);
  const database = report.mode.ownDatabase ? { embedded: 'memory' } : { url: report.url };
  class App {}
  Module({
    imports: [library.WorkflowModule.forRoot({ database, ...options })],
    providers: Object.values(all),
  })(App);
  const apiOf = async (app) => {
    const client = app.get(library.WorkflowClient);
    const { getDataSourceToken } = await load('@nestjs/typeorm');
    const source = app.get(getDataSourceToken(library.WORKFLOW_DATA_SOURCE));
    return {
      start: (name, input, id) => client.trigger(all[name], input, { runId: id }),
      startMany: (name, inputs, ids) =>
        client.triggerMany(
          all[name],
          inputs.map((payload, i) => ({ payload, runId: ids[i] })),
        ),
      result: (handle) => handle.result(),
      signal: (id, value) => client.notify(Go(id), value, { runId: id }),
      completed: () => source.getRepository(library.WorkflowRun).countBy({ status: 'completed' }),
      stop: () => app.close(),
    };
  };
  return { App, library, apiOf };
}

/** An application that is called over HTTP: by itself, once per step. */
async function served(App) {
  const { NestFactory } = await load('@nestjs/core');
  const { FastifyAdapter } = await load('@nestjs/platform-fastify');
  const app = await NestFactory.create(App, new FastifyAdapter(), { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  return app;
}

/** One without a server, as none of the peers that work in-process has one. */
async function alone(App) {
  const { NestFactory } = await load('@nestjs/core');
  return NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
}

async function worker(report) {
  const { transport, concurrency, beats } = report.mode;
  const { App, library, apiOf } = await application(report, { transport, worker: { concurrency, ...beats } });
  const app = await (transport === 'http' ? served(App) : alone(App));
  const scheduler = app.get(library.WorkflowScheduler);
  while (!scheduler.running) await new Promise((resolve) => setTimeout(resolve, 10));
  return { api: await apiOf(app), stop: () => app.close() };
}

/** A process that enqueues and awaits results, and executes nothing. */
async function client(report) {
  const { App, apiOf } = await application(report, { transport: 'in-process', worker: false });
  return apiOf(await alone(App));
}

const all = ['w1', 'w1lat', 'w2', 'w2k', 'w4', 'w4p', 'w4i', 'w5', 'w6', 'w7', 'trig', 'child', 'overload'];
const growth = ['history', 'payload-100', 'payload-1k', 'payload-10k', 'payload-100k', 'journal-100'];
const apart = ['w3', 'w3x2', 'processes-1', 'processes-2'];

export default {
  name: 'nestjs-workflow',
  version,
  modes: {
    'in-process': {
      embedded: true,
      transport: 'in-process',
      // w1 in steps/s: 26,500 with 300, 30,000 with 600, 27,000 with 1,000
      concurrency: 300,
      // the more are under way, the more share a commit, and the longer each turn of the loop that a trigger waits for
      of: { w1: { concurrency: 600 }, overload: { concurrency: 200 } },
      w1n: 40_000,
      trign: 100_000,
      works: [...all, ...growth, 'journal-5000'],
    },
    http: {
      embedded: true,
      transport: 'http',
      concurrency: 200,
      // at the same throughput 0.18 commits a run instead of 0.21
      of: { w1: { concurrency: 300 } },
      w1n: 6000,
      trign: 30_000,
      works: [...all, ...growth, 'journal-5000'],
    },
    // the client in a process of its own, so that it can enqueue before a worker is there
    'in-process-client': { transport: 'in-process', concurrency: 300, bulk: true, w1n: 40_000, works: apart },
    'http-client': { transport: 'http', concurrency: 200, bulk: true, w1n: 6000, works: apart },
    pglite: {
      embedded: true,
      transport: 'in-process',
      concurrency: 300,
      ownDatabase: true,
      works: ['pglite'],
    },
  },
  worker,
  client,
  /** `after`: only runs whose number is above it are counted, where there are too many to count all of them again and again */
  async doneCount(client, { after = 0 } = {}) {
    const { rows } = await client
      .query(`select count(*) as n from workflow_run where status = 'completed' and id > $1`, [after])
      .catch(() => ({ rows: [{ n: 0 }] }));
    return Number(rows[0].n);
  },
};
