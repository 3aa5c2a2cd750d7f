// From the shared benchmark of durable-workflow engines; its settings are those that did best there.
// Not an engine: the least that durable steps can cost from Node with `pg`. One row per workflow, one per step.
// naive/named: every checkpoint is its own transaction. batched: checkpoints made in the same moment share one multi-row statement (a group commit in the client).
import pg from 'pg';
import { createRequire } from 'node:module';
const version = `pg ${createRequire(import.meta.url)('pg/package.json').version}`;
export default {
  name: 'rawpg',
  version,
  modes: {
    naive: { works: ['w1'], embedded: true, pool: 10, w1n: 13_000 },
    named: {
      works: ['w1', 'w1lat', 'w2', 'w2k', 'w6', 'trig'],
      embedded: true,
      pool: 10,
      named: true,
      w1n: 15_000,
      trign: 50_000,
    },
    batched: {
      works: ['w1', 'w1lat', 'w2', 'w2k', 'w6', 'trig'],
      embedded: true,
      pool: 10,
      batched: 2,
      w1n: 200_000,
      wave: 20_000,
      trign: 200_000,
    },
  },
  async setup({ c }) {
    await c.query(
      `create table wf(id text primary key, name text not null, status text not null, input jsonb, output jsonb, at timestamptz not null default now()); create table step(wf text not null, n int not null, output jsonb, at timestamptz not null default now(), primary key (wf, n))`,
    );
  },
  async doneCount(c) {
    return +(await c.query(`select count(*) n from wf where status='done'`)).rows[0].n;
  },
  async worker(ctx) {
    const m = ctx.mode,
      pool = new pg.Pool({ connectionString: ctx.url, max: m.pool });
    pool.on('error', () => {});
    const SQL = {
      start: `insert into wf(id,name,status,input) values($1,$2,'running',$3)`,
      step: `insert into step(wf,n,output) values($1,$2,$3)`,
      end: `update wf set status='done', output=$2 where id=$1`,
    };
    const B = {
      start: [
        `insert into wf(id,name,status,input) select a,b,'running',c::jsonb from unnest($1::text[],$2::text[],$3::text[]) t(a,b,c)`,
        3,
      ],
      step: [
        `insert into step(wf,n,output) select a,b,c::jsonb from unnest($1::text[],$2::int[],$3::text[]) t(a,b,c)`,
        3,
      ],
      end: [
        `update wf set status='done', output=c::jsonb from unnest($1::text[],$2::text[]) t(a,c) where id=a`,
        2,
      ],
    };
    let exec;
    if (m.batched) {
      const lanes = {};
      for (const k in B) lanes[k] = { q: [], busy: 0 };
      const flush = async (k) => {
        const L = lanes[k];
        if (L.busy >= m.batched || !L.q.length) return;
        L.busy++;
        const q = L.q.splice(0, 500);
        try {
          await pool.query({
            name: k,
            text: B[k][0],
            values: Array.from({ length: B[k][1] }, (_, i) => q.map((x) => x.v[i])),
          });
          for (const x of q) x.ok();
        } catch (e) {
          for (const x of q) x.no(e);
        }
        L.busy--;
        flush(k);
      };
      exec = (k, v) =>
        new Promise((ok, no) => {
          lanes[k].q.push({ v, ok, no });
          if (lanes[k].q.length === 1) setImmediate(flush, k);
        });
    } else
      exec = (k, v) =>
        pool.query(m.named ? { name: k, text: SQL[k], values: v } : { text: SQL[k], values: v });
    const run = async (id, p) => {
      if (p.par)
        await Promise.all(
          Array.from({ length: p.n }, (_, i) => exec('step', [id, i, JSON.stringify({ i })])),
        );
      else
        for (let i = 0; i < p.n; i++) {
          await exec('step', [id, i, JSON.stringify({ i })]);
          if (p.mark) ctx.step(i);
        }
      ctx.done(id);
      await exec('end', [id, JSON.stringify(p.n)]);
    };
    return {
      api: {
        start: async (wf, p, id) => {
          if (wf === 'fan') p = { ...p, par: true };
          await exec('start', [id, wf, JSON.stringify(p)]);
          return { r: run(id, p) };
        },
        result: (h) => h.r,
      },
      stop: () => pool.end(),
    };
  },
};
