import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdvanceCommit, Task } from '../../lib/ports/index.js';
import { Database } from '../../lib/typeorm/database.js';
import { arePlain } from '../../lib/typeorm/plain-steps.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { Bench, SettableClock } from '../contract/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

describe.each(DATABASES)('commits of one answered step each, on $name', ({ name, create }) => {
  let database: TestDatabase;
  let source: DataSource;
  let db: Database;
  let bench: Bench;
  const sent: string[] = [];

  beforeAll(async () => {
    database = await create();
    source = await database.open();
    db = new Database(source);
    const send: Database['query'] = db.query.bind(db);
    db.query = <R>(name: string, text: string, values: unknown[]): Promise<R[]> => {
      if (name.startsWith('workflow_commit')) sent.push(`${name} of ${values.length} parameters`);
      return send(name, text, values);
    };
    const clock = new SettableClock();
    bench = new Bench({
      store: new TypeOrmRunStore(db, tablesOf(undefined), clock),
      clock,
      dispose: async () => undefined,
    });
  });
  afterAll(async () => {
    await db?.close();
    await source?.destroy();
    await database?.dispose();
  });

  const plain = (
    task: Task,
    key: string,
    position: number,
    more: Partial<AdvanceCommit> = {},
  ): AdvanceCommit => bench.commitOf(task, { lean: true, rows: [bench.fact(key, position)], ...more });
  const journal = async (task: Task) =>
    (await bench.store.journal(task.runId))!.map(({ key, answer, position }) => ({ key, answer, position }));
  const stored = (key: string, position: number, value = '1') => ({
    key,
    answer: { ok: true, value },
    position,
  });

  it('are stored where their leases hold, in one statement that says which', async () => {
    const [a, b, c] = [await bench.claimed('a'), await bench.claimed('b'), await bench.claimed('c')];
    sent.length = 0;
    const three = [plain(a!, 's', 1), plain({ ...b!, fence: b!.fence + 1 }, 's', 1), plain(c!, 's', 1)];
    expect(await bench.store.commit(three)).toEqual(['committed', 'lost', 'committed']);
    expect(await bench.store.commit([plain(b!, 's', 1), plain(a!, 't', 2)])).toEqual([
      'committed',
      'committed',
    ]);
    expect(sent).toEqual(Array.from({ length: 2 }, () => 'workflow_commit_steps of 13 parameters'));
    expect(await journal(a!)).toEqual([stored('s', 1), stored('t', 2)]);
    expect(await journal(b!)).toEqual([stored('s', 1)]);
    const gone = { ...a!, fence: 0 };
    expect(await bench.store.commit([plain(gone, 'u', 3), plain(gone, 'u', 3)])).toEqual(['lost', 'lost']);
    expect(await bench.store.commit([plain(gone, 'u', 3)])).toEqual(['lost']);
  });

  it.each([1, 2])('may be sent again, %d at a time: a fact stays what it was', async (count) => {
    const tasks = [await bench.claimed(`again ${count}`), await bench.claimed(`again ${count} too`)].slice(
      0,
      count,
    );
    const first = tasks.map((task) => plain(task, 's', 1));
    const other = tasks.map((task) => plain(task, 's', 1, { rows: [bench.fact('s', 1, '2')] }));
    for (const commits of [first, first, other])
      expect(await bench.store.commit(commits)).toEqual(tasks.map(() => 'committed'));
    for (const task of tasks) expect(await journal(task)).toEqual([stored('s', 1)]);
  });

  it.each([1, 2])('replace the attempt before, %d at a time, and keep what failed', async (count) => {
    const tasks = [await bench.claimed(`tried ${count}`), await bench.claimed(`tried ${count} too`)].slice(
      0,
      count,
    );
    const failed = { ok: false, failure: '{"message":"no"}' } as const;
    for (const task of tasks)
      await bench.commit(task, { rows: [bench.journalRow('s', { attempts: 1, answer: failed, wakeAt: 5 })] });
    const again = { attempts: 2, answer: failed, digest: 'abc' };
    const commits = tasks.map((task) => plain(task, 's', 1, { rows: [bench.fact('s', 1, '', again)] }));
    expect(await bench.store.commit(commits)).toEqual(tasks.map(() => 'committed'));
    for (const task of tasks) {
      const [row] = (await bench.store.journal(task.runId))!;
      expect(row).toMatchObject({
        state: 'journaled',
        attempts: 2,
        answer: failed,
        wakeAt: null,
        position: 1,
      });
    }
  });

  it('alone it takes one statement, and one more that tells where nothing was written', async () => {
    const task = await bench.claimed('alone');
    const counts = async (commit: AdvanceCommit): Promise<[readonly string[], number]> => {
      sent.length = 0;
      return [await bench.store.commit([commit]), sent.length];
    };
    expect(await counts(plain(task!, 's', 1))).toEqual([['committed'], 1]);
    expect(await counts(plain(task!, 's', 1))).toEqual([['committed'], 2]);
    expect(await counts(plain({ ...task!, fence: 0 }, 't', 2))).toEqual([['lost'], 2]);
    // counted, as over HTTP
    expect(await counts(plain(task!, 't', 2, { turn: 0 }))).toEqual([['committed'], 1]);
    expect(await counts(plain(task!, 'u', 3, { turn: 0 }))).toEqual([['lost'], 2]);
    expect(await counts(plain(task!, 'u', 3, { turn: 1 }))).toEqual([['committed'], 1]);
    const end = { to: 'completed', result: '"done"' } as const;
    expect(await counts(plain(task!, 'v', 4, { turn: 1, next: end }))).toEqual([['lost'], 2]);
    expect(await counts(plain(task!, 'v', 4, { turn: 2, next: end }))).toEqual([['committed'], 1]);
    // its reply was lost: the header tells that it was ours
    expect(await counts(plain(task!, 'v', 4, { turn: 2, next: end }))).toEqual([['committed'], 2]);
    expect(await journal(task!)).toEqual(['s', 't', 'u', 'v'].map((key, i) => stored(key, i + 1)));
    expect(await bench.store.find(task!.runId)).toMatchObject({ status: 'completed', result: '"done"' });
  });

  it('an end tells what came meanwhile, and leaves nothing behind', async () => {
    const task = await bench.claimed('fails');
    const end = { to: 'failed', error: '{"message":"no"}' } as const;
    expect(await bench.store.commit([plain(task!, 's', 1, { next: end })])).toEqual(['committed']);
    expect(await bench.store.find(task!.runId)).toMatchObject({ status: 'failed', error: end.error });
    const [left] = await db.query<{ n: number }>(
      'left',
      'select count(*)::int as n from workflow_task where execution = $1',
      [task!.execution],
    );
    expect(left!.n).toBe(0);
  });

  it.skipIf(name === 'pglite')('waits for no lock at first, and for half a second then', async () => {
    const task = await bench.claimed('locked');
    const holder = source.createQueryRunner();
    await holder.startTransaction();
    await holder.query('select from workflow_task where id = $1 for update', [task!.taskId]);
    const refused: unknown = await bench.store.commit([plain(task!, 's', 1)]).catch((e: unknown) => e);
    expect(bench.store.fault(refused)).toBe('blocked');
    const waiting = bench.store.commit([plain(task!, 's', 1)]);
    await holder.commitTransaction();
    await holder.release();
    expect(await waiting).toEqual(['committed']);
    expect(await journal(task!)).toEqual([stored('s', 1)]);
  });

  it('is nothing that has more to it', async () => {
    const task = await bench.claimed('more');
    const commit = plain(task, 's', 1);
    expect(arePlain([commit, commit])).toBe(true);
    const row = commit.rows[0]!;
    const others: AdvanceCommit[] = [
      { ...commit, next: { to: 'completed', result: '1' } },
      { ...commit, turn: 0 },
      { ...commit, rows: [] },
      { ...commit, rows: [row, row] },
      ...[
        { kind: 'poll' as const },
        { state: 'pending' as const },
        { wakeAt: 1 },
        { event: 'e' },
        { eventId: 'e' },
        { dispatched: true },
        { request: 'r' },
      ].map((more) => ({ ...commit, rows: [{ ...row, ...more }] })),
    ];
    for (const other of others) expect(arePlain([commit, other]), JSON.stringify(other)).toBe(false);
  });
});
