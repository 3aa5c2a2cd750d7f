// From the shared benchmark of durable-workflow engines; its settings are those that did best there.
// Restate (https://restate.dev): server in Rust with a log of its own and RocksDB, no PostgreSQL; a TypeScript service behind HTTP/2, all on
// loopback. Tuned: two partitions instead of 24, for two cores, and NODE_ENV=production.
// Restate server (own log + RocksDB, no PostgreSQL) with a TypeScript service behind HTTP/2. All on loopback.
import fs from 'node:fs';
import http from 'node:http';
import { spawn } from 'node:child_process';
const HOME = process.env.BENCH_HOME ?? new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const ver = (p) => JSON.parse(fs.readFileSync(`${HOME}/node_modules/${p}/package.json`)).version;
const ING = 18080,
  ADM = 19070,
  SVC = 19080,
  NODE = 15122;
const agent = new http.Agent({ keepAlive: true, maxSockets: 200 });
export function req(port, method, path, body) {
  return new Promise((ok, no) => {
    const b = body === undefined ? null : JSON.stringify(body);
    const r = http.request(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent,
        headers: b
          ? {
              accept: 'application/json',
              'content-type': 'application/json',
              'content-length': Buffer.byteLength(b),
            }
          : { accept: 'application/json' },
      },
      (res) => {
        let s = '';
        res.setEncoding('utf8');
        res.on('data', (d) => (s += d));
        res.on('end', () =>
          res.statusCode < 300
            ? ok(s ? JSON.parse(s) : null)
            : no(new Error(`${method} ${path} ${res.statusCode} ${s.slice(0, 300)}`)),
        );
      },
    );
    r.on('error', no);
    r.end(b);
  });
}
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
export default {
  name: 'restate',
  version: ver('@restatedev/restate-server'),
  sdk: ver('@restatedev/restate-sdk'),
  needsWorkerToEnqueue: true,
  modes: {
    default: { works: ['w1'], node: 22, env: { RESTATE_LOGGING: 'WARN' }, w1n: 8000, wave: 2000 }, // dev defaults: 24 partitions, fsync on
    tuned: {
      works: ['w1', 'w1lat', 'w2', 'w2k', 'w3', 'w4', 'w4p', 'w4i', 'w5', 'w6', 'w7', 'trig', 'child'],
      node: 22,
      env: { RESTATE_LOGGING: 'WARN', NODE_ENV: 'production' },
      w1n: 9000,
      wave: 2000,
      trign: 18_000,
      partitions: 2,
    }, // fewer partitions for 2 cores
  },
  async setup({ mode }) {
    const dir = fs.mkdtempSync(`${HOME}/logs/restate-`);
    const log = fs.openSync(`${HOME}/logs/restate-server.log`, 'w');
    const env = {
      ...process.env,
      RESTATE_BASE_DIR: dir,
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_BIND_IP: '127.0.0.1',
      RESTATE_BIND_PORT: String(NODE),
      RESTATE_ADVERTISED_HOST: '127.0.0.1',
      RESTATE_LISTEN_MODE: 'tcp',
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ING}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${ADM}`,
      RESTATE_NODE_NAME: 'n1',
      RESTATE_LOG_FILTER: 'warn',
      RUST_LOG: 'warn',
      ...(mode.partitions ? { RESTATE_DEFAULT_NUM_PARTITIONS: String(mode.partitions) } : {}),
    };
    const p = spawn(
      `${HOME}/node_modules/@restatedev/restate-server-linux-x64/bin/restate-server`,
      ['--no-logo'],
      { env, stdio: ['ignore', log, log] },
    );
    const srv = { p, pids: [p.pid], dir };
    const kill = () => {
      try {
        p.kill('SIGKILL');
      } catch {}
    };
    process.on('exit', kill);
    srv.unhook = () => process.off('exit', kill);
    for (let i = 0; i < 200; i++) {
      try {
        await req(ADM, 'GET', '/health');
        await req(ING, 'GET', '/restate/health');
        await req(ADM, 'POST', '/query', { query: 'select count(*) as n from sys_invocation_status' });
        return srv;
      } catch {
        await sleep(100);
      }
    }
    throw new Error('restate did not start');
  },
  async teardown(srv) {
    if (!srv) return;
    const gone = new Promise((r) => srv.p.on('exit', r));
    srv.p.kill('SIGTERM');
    await Promise.race([gone, sleep(5000).then(() => srv.p.kill('SIGKILL'))]);
    await Promise.race([gone, sleep(2000)]);
    srv.unhook();
    fs.rmSync(srv.dir, { recursive: true, force: true });
  },
  async afterWorker() {
    for (let i = 0; ; i++)
      try {
        await req(ADM, 'POST', '/deployments', { uri: `http://127.0.0.1:${SVC}`, force: true });
        return;
      } catch (e) {
        if (i > 30) throw e;
        await sleep(100);
      }
  },
  async doneCount(c, env) {
    // invocations that have left the running set, seen through the admin SQL API
    const r = await req(ADM, 'POST', '/query', {
      query: `select count(*) as n from sys_invocation_status where status <> 'completed'`,
    });
    const left = +r.rows[0].n;
    return left === 0 ? env.done : -1e9;
  },
  async worker(ctx) {
    const restate = await import('@restatedev/restate-sdk');
    const svc = restate.service({
      name: 'bench',
      handlers: {
        seq: async (c, p) => {
          for (let i = 0; i < p.n; i++) {
            await c.run('s' + i, async () => ({ i }));
            if (p.mark) ctx.step(i);
          }
          ctx.done(p.id);
          return p.n;
        },
        fan: async (c, p) => {
          await restate.RestatePromise.all(
            Array.from({ length: p.n }, (_, i) => c.run('s' + i, async () => ({ i }))),
          );
          ctx.done(p.id);
          return p.n;
        },
        child: async (c) => c.run('s', async () => ({ i: 0 })),
        parent: async (c, p) => {
          const t = ctx.now();
          await c.serviceClient({ name: 'bench' }).child({});
          ctx.late((ctx.now() - t) / 1e6);
          ctx.done(p.id);
          return 1;
        },
        sleeper: async (c, p) => {
          let first = false;
          const t = await c.run('t', async () => {
            first = true;
            return ctx.now();
          });
          if (first) ctx.waiting();
          await c.sleep(p.ms);
          ctx.late((ctx.now() - t) / 1e6 - p.ms);
          ctx.done(p.id);
          return 1;
        },
      },
    });
    const wf = restate.workflow({
      name: 'wf',
      handlers: {
        run: async (c, p) => {
          let first = false;
          await c.run('t', async () => {
            first = true;
            return 1;
          });
          if (first) ctx.waiting();
          const v = await c.promise('go');
          ctx.resumed(p.id, v?.sentNs);
          ctx.done(p.id);
          return 1;
        },
        go: async (c, v) => {
          await c.promise('go').resolve(v);
          return null;
        },
      },
    });
    const ep = restate.endpoint().bind(svc).bind(wf);
    const http2 = await import('node:http2');
    const server = http2.createServer(ep.http2Handler());
    await new Promise((r) => server.listen(SVC, '127.0.0.1', r));
    return {
      stop: async () => {
        server.close();
      },
    };
  },
  async client() {
    // start = the call is durably accepted (…/send); result = attach to the invocation's output
    return {
      start: (wf, input, id) =>
        wf === 'waiter'
          ? req(ING, 'POST', `/wf/${id}/run/send`, input)
          : wf.startsWith('call:')
            ? req(ING, 'POST', `/bench/${wf.slice(5)}`, input)
            : req(ING, 'POST', `/bench/${wf}/send`, input),
      result: (h) =>
        h && h.invocationId ? req(ING, 'GET', `/restate/invocation/${h.invocationId}/attach`) : h,
      signal: (id, v) => req(ING, 'POST', `/wf/${id}/go`, v),
    };
  },
};
