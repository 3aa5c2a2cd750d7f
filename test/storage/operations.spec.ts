import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../lib/typeorm/database.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { Bench, SettableClock } from '../contract/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';

const PAGE = readFileSync(fileURLToPath(new URL('../../docs/operations.md', import.meta.url)), 'utf8');
/** The statements of the page, by their first comment or line. */
const STATEMENTS = [...PAGE.matchAll(/^```sql\n([\s\S]*?)^```$/gm)]
  .flatMap(([, block]) => block!.split(/(?<=;)\n/))
  .map((text) => text.trim())
  .filter((text) => text !== '');
const statement = (part: string): string => STATEMENTS.find((text) => text.includes(part))!;

describe('the SQL of docs/operations.md', () => {
  let database: TestDatabase;
  let source: DataSource;
  let bench: Bench;
  beforeAll(async () => {
    database = await createPostgres();
    source = await database.open();
    const clock = new SettableClock();
    const store = new TypeOrmRunStore(new Database(source), tablesOf(undefined), clock);
    bench = new Bench({ store, clock, dispose: async () => undefined });
  });
  afterAll(async () => {
    await source?.destroy();
    await database?.dispose();
  });
  const rows = (part: string): Promise<any[]> => source.query(statement(part));

  it.each(STATEMENTS)('is executed: %s', async (text) => {
    await source.query(text);
  });

  it('finds what is due, stuck, lost and served by nobody', async () => {
    const due = { due: { at: Date.now() - 60_000 } };
    await bench.store.trigger([
      bench.row('waits', due),
      bench.row('old', { ...due, version: '1' }),
      bench.row('stuck', due),
    ]);
    const task = (await bench.claim()).find(({ runId }) => runId === 'stuck')!;
    await bench.store.release([task], 0, 'its code is gone');
    await bench.store.register(bench.worker, 'host', 1, [bench.workflow]);
    const lag = await rows('-- lag and backlog');
    expect(lag.map(({ queue }) => queue)).toContain(`${bench.workflow}@1`);
    expect(Number(lag.find(({ queue }) => queue.endsWith('@1')).lag_seconds)).toBeGreaterThan(59);
    expect(await rows('-- stuck, and why')).toMatchObject([{ run_id: 'stuck', stuck: 'its code is gone' }]);
    expect(await rows('-- queues that no process serves')).toEqual([{ queue: `${bench.workflow}@1` }]);
    await bench.store.unregister(bench.worker);
  });

  it('deletes what has ended long ago, with its steps, and nothing else', async () => {
    const [old, young] = [await bench.claimed('old-end'), await bench.claimed('young-end')];
    for (const task of [old, young])
      await bench.commit(task, { rows: [bench.fact('a', 1)], next: { to: 'completed', result: '1' } });
    await bench.commit(await bench.claimed('active'), { rows: [bench.fact('a', 1)] });
    // the clock of the test is years ahead
    await source.query(`update workflow_run set finished_at = now() where status <> 'active'`);
    await source.query(
      `update workflow_run set finished_at = now() - interval '31 days' where id = ${old.execution}`,
    );
    await source.query(statement('with gone as'));
    const left: { execution: string }[] = await source.query(`select execution from workflow_step`);
    expect(left.map(({ execution }) => execution)).not.toContain(old.execution);
    expect(left.map(({ execution }) => execution)).toContain(young.execution);
    expect(left).toHaveLength(2);
    expect(await bench.store.find(old.runId)).toBeNull();
    expect(await bench.store.find(young.runId)).not.toBeNull();
  });
});
