/** A run that starts another one and awaits its result, beside what a commit takes on the same server. */
import type pg from 'pg';
import { now } from '../machine.js';
import { percentiles, round } from '../statistics.js';
import { COST, lower, plain, type Workload } from './workload.types.js';

/** p50 of a prepared insert of one row, in ms. */
export async function commitMs(client: pg.Client, n = 500): Promise<number> {
  await client.query('create table if not exists bench_commit (id bigint primary key, value text)');
  const took: number[] = [];
  for (let i = 0; i < n; i++) {
    const begun = now();
    await client.query({
      name: 'bench_commit',
      text: 'insert into bench_commit values ($1, $2)',
      values: [i, '{}'],
    });
    took.push((now() - begun) / 1e6);
  }
  await client.query('drop table bench_commit');
  return percentiles(took)!.p50;
}

export const child: Workload = {
  title: 'A child: from invoke to its result',
  about:
    'Runs that invoke a child of one step, one at a time; beside it the median of 500 single-row commits of one client, before and after.',
  columns: [
    lower('invoke p50 ms', 'invoke.p50'),
    plain('p99', 'invoke.p99'),
    plain('one commit ms', 'commitMs'),
    plain('invoke in commits', 'inCommits'),
    plain('statements a run', 'per.statements'),
    ...COST.filter(({ path }) => path !== 'per.statements'),
  ],
  async run(env, settings) {
    const n = settings.n ?? 200;
    await env.begun();
    const before = await commitMs(env.database.client);
    await env.workers[0]!.ask('keep', {});
    await env.begin();
    const all = await env.client.ask('oneByOne', { wf: 'parent', input: {}, n, prefix: 'p-' });
    const usage = await env.end(all.length);
    const { late } = await env.workers[0]!.ask('marks', {});
    const commit = (before + (await commitMs(env.database.client))) / 2;
    const invoke = percentiles(late);
    return {
      n,
      complete: late.length === n,
      invoke,
      commitMs: round(commit),
      inCommits: round((invoke?.p50 ?? NaN) / commit),
      ...usage,
    };
  },
};
