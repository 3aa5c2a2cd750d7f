import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Step, Workflow, WorkflowContext, WorkflowError, type WorkflowClient } from 'nestjs-workflow';
import type { StoreFault } from '../../lib/ports/index.js';
import { Lane } from '../../lib/runtime/lane.js';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import {
  Echo,
  Gated,
  Go,
  session,
  Signal,
  startApp,
  untilBlocked,
  untilStatus,
  WORKFLOWS,
  type TestApp,
} from '../client/support.js';

const COUNT = 100;
const CULPRIT = 37;

/** Holds all steps back until they can be released at the same moment: their results meet in one batch. */
class Barrier {
  arrived = 0;
  expected = COUNT;
  readonly all = new Signal();
  readonly open = new Signal();

  @Step({ retries: 0 })
  async value(n: number, poison: string): Promise<unknown> {
    if (++this.arrived === this.expected) this.all.resolve();
    await this.open.promise;
    return n === CULPRIT ? POISONS[poison]!() : `value ${n}`;
  }
}

const POISONS: Record<string, () => unknown> = {
  NUL: () => 'a\0b',
  'a lone surrogate': () => 'a\ud800b',
  'too large': () => 'x'.repeat(2 ** 20),
  'not serialisable': () => ({ deep: [{ f: () => 1 }] }),
  'refused by the database': () => 'refused',
};

@Workflow({ name: 'batched' })
class Batched {
  constructor(readonly barrier: Barrier) {}
  async run(ctx: WorkflowContext<{ n: number; poison: string }>): Promise<unknown> {
    return { result: await this.barrier.value(ctx.payload.n, ctx.payload.poison) };
  }
}

/** Two steps beside each other; where they are tasks of their own their results are answers. */
@Workflow({ name: 'batched-pairs' })
class BatchedPairs {
  constructor(readonly barrier: Barrier) {}
  async run(ctx: WorkflowContext<{ n: number; poison: string }>): Promise<unknown> {
    const { n, poison } = ctx.payload;
    const [result] = await Promise.all([
      this.barrier.value(n, poison),
      ctx.run('beside', async () => `beside ${n}`),
    ]);
    return { result };
  }
}

describe.each(DATABASES)('a batch on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  let barrier: Barrier;
  const start = async (sideSteps = true): Promise<void> => {
    barrier = new Barrier();
    test = await startApp(db, {
      providers: [...WORKFLOWS, Batched, BatchedPairs, { provide: Barrier, useValue: barrier }],
      workflow: { worker: { concurrency: 3 * COUNT } },
      runtime: { sideSteps },
    });
  };
  beforeEach(async () => {
    db = await create();
    await start();
  });
  afterEach(async () => {
    barrier.open.resolve();
    await test?.close();
    await db?.dispose();
  });

  it('with two triggers of one run id starts one run, and both callers have it', async () => {
    const { client } = test;
    const [a, b, other] = await Promise.all([
      client.trigger(Echo, 1, { runId: 'same' }),
      client.trigger(Echo, 1, { runId: 'same' }),
      client.trigger(Echo, 2, { runId: 'other' }),
    ]);
    expect([a.created, b.created, other.created].filter(Boolean)).toHaveLength(2);
    expect(await Promise.all([a.result(), b.result(), other.result()])).toEqual([1, 1, 2]);
  });

  it('with two triggers of one run id and different payloads gives the second an error, and nobody else', async () => {
    const { client } = test;
    const [a, b, c] = await Promise.allSettled([
      client.trigger(Echo, 1, { runId: 'same' }),
      client.trigger(Echo, 2, { runId: 'same' }),
      client.trigger(Echo, 3, { runId: 'other' }),
    ]);
    expect([a.status, b.status, c.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((b as PromiseRejectedResult).reason).toMatchObject({ code: 'WF_RUN_EXISTS' });
    expect(await client.run(Echo, 'same').result()).toBe(1);
    expect(await client.run(Echo, 'other').result()).toBe(3);
  });

  async function runAll(workflow: string, poison: string): Promise<unknown[]> {
    const { client } = test;
    const handles = await Promise.all(
      Array.from({ length: COUNT }, (_, n) =>
        client.trigger(workflow, { n, poison }, { runId: `${workflow}-${n}` }),
      ),
    );
    await barrier.all.promise;
    barrier.open.resolve();
    return Promise.all(handles.map((handle) => handle.result().catch((error: unknown) => error)));
  }

  const allBut = (results: readonly unknown[]): unknown[] => results.filter((_, n) => n !== CULPRIT);
  const others = allBut(Array.from({ length: COUNT }, (_, n) => ({ result: `value ${n}` })));

  // the codec writes what PostgreSQL refuses in a way that it does not: nobody has to know that these are poison
  it.each(['NUL', 'a lone surrogate'])('takes a result with %s, and gives it back whole', async (poison) => {
    const results = await runAll('batched', poison);
    expect(results[CULPRIT]).toEqual({ result: POISONS[poison]!() });
    expect(allBut(results)).toEqual(others);
  });

  it.each([
    ['batched', 'too large', 'WF_TOO_LARGE', 'result of step "Barrier.value" is 1048578 bytes long'],
    ['batched', 'not serialisable', 'WF_NOT_SERIALIZABLE', 'cannot be stored: .deep[0].f is a function'],
    ['batched-pairs', 'too large', 'WF_TOO_LARGE', 'result of step "Barrier.value" is 1048578 bytes long'],
  ])('of %s with one result that is %s fails that step alone', async (workflow, poison, code, said) => {
    const results = await runAll(workflow, poison);
    expect(allBut(results)).toEqual(others);
    expect(results[CULPRIT]).toBeInstanceOf(Error);
    const run = await test.client.get(`${workflow}-${CULPRIT}`);
    expect(run).toMatchObject({ status: 'failed', error: { step: 'Barrier.value' } });
    const entry = (await test.client.journal(run.runId)).find(({ key }) => key === 'Barrier.value');
    expect(entry).toMatchObject({
      state: 'journaled',
      attempts: 1,
      error: { code, message: expect.stringContaining(said) },
    });
  });

  it.each([
    ['batched', 'workflow_commit_lean', true],
    ['batched-pairs', 'workflow_commit_lean', true],
    ['batched-pairs', 'workflow_answer', false],
  ])(
    'of %s with one value that the database refuses is halved down to it, and fails that step alone (%s)',
    async (workflow, statement, sideSteps) => {
      if (!sideSteps) {
        await test.close();
        await start(sideSteps);
      }
      let refusals = 0;
      let alone = 0;
      const { database } = test;
      const query = database.query.bind(database);
      database.query = async <R>(name: string, text: string, values: unknown[]): Promise<R[]> => {
        // in an array of many, or by itself
        const poisoned = values.some(
          (value) => (Buffer.isBuffer(value) || typeof value === 'string') && value.includes('"refused"'),
        );
        if (!poisoned) return query<R>(name, text, values);
        // beside others, each of them is stored by itself then
        if (name === 'workflow_commit') alone++;
        else {
          expect(name).toBe(statement);
          refusals++;
        }
        throw Object.assign(new Error('invalid byte sequence for encoding "UTF8": 0x00'), { code: '22021' });
      };
      const results = await runAll(workflow, 'refused by the database');
      expect(allBut(results)).toEqual(others);
      // the whole batch, its halves, …, the culprit alone: not once for each of the hundred
      expect(refusals).toBeLessThanOrEqual(Math.ceil(Math.log2(COUNT)) + 1);
      expect(alone).toBe(workflow === 'batched-pairs' && sideSteps ? 1 : 0);
      expect(results[CULPRIT]).toBeInstanceOf(Error);
      const { runId } = test.client.run(workflow, `${workflow}-${CULPRIT}`);
      expect(await test.client.get(runId)).toMatchObject({
        status: 'failed',
        error: { step: 'Barrier.value', message: expect.stringContaining('The database refused a value') },
      });
      const entry = (await test.client.journal(runId)).find(({ key }) => key === 'Barrier.value');
      expect(entry).toMatchObject({ attempts: 1, error: { code: 'WF_NOT_STORABLE' } });
    },
  );
});

describe("a batch that meets somebody's open transaction", () => {
  let db: TestDatabase;
  let test: TestApp;
  let source: DataSource;
  let client: WorkflowClient;
  beforeAll(async () => {
    db = await createPostgres();
    test = await startApp(db);
    ({ client } = test);
    source = await new DataSource({ type: 'postgres', url: db.url! }).initialize();
  });
  afterAll(async () => {
    await source?.destroy();
    await test?.close();
    await db?.dispose();
  });

  it.each(['commits', 'rolls back'])(
    'with the same run id: the others start, and that one when it %s',
    async (how) => {
      const observer = await session(db);
      const runner = source.createQueryRunner();
      try {
        await runner.startTransaction();
        const runId = `held until it ${how}`;
        await client.trigger(Echo, 'theirs', { runId, manager: runner.manager });
        let settled = false;
        const blocked = client.trigger(Echo, 'theirs', { runId }).finally(() => (settled = true));
        await untilBlocked(observer, 'insert into "workflow_run"');
        const rounds = [1, 2, 3].map((round) =>
          Array.from({ length: 60 }, (_, n) => client.trigger(Echo, { round, n })),
        );
        for (const round of rounds) {
          const handles = await Promise.all(round);
          await Promise.all(handles.map((handle) => handle.result()));
        }
        expect(settled).toBe(false);
        if (how === 'commits') await runner.commitTransaction();
        else await runner.rollbackTransaction();
        const run = await blocked;
        expect(run.created).toBe(how === 'rolls back');
        expect(await run.result()).toBe('theirs');
      } finally {
        if (runner.isTransactionActive) await runner.rollbackTransaction();
        await runner.release();
        await observer.end();
      }
    },
  );

  it('that has sent an event to one run: the results of the others are stored, and that one goes on after it', async () => {
    const observer = await session(db);
    const runner = source.createQueryRunner();
    try {
      const names = ['held', ...Array.from({ length: 20 }, (_, n) => `free ${n}`)];
      const handles = await Promise.all(names.map((name) => client.trigger(Gated, name, { runId: name })));
      await Promise.all(names.map((name) => test.gates.enter(name)));
      await runner.startTransaction();
      // its advance task is locked until the transaction is over
      await client.notify(Go('whatever'), 'x', { runId: 'held', manager: runner.manager });
      for (const name of names) test.gates.release(name);
      await untilBlocked(observer, 'owned as materialized');
      const [held, ...free] = handles;
      expect(await Promise.all(free.map((handle) => handle.result()))).toEqual(
        names.slice(1).map((name) => `passed ${name}`),
      );
      expect((await held!.get()).status).toBe('running');
      await runner.commitTransaction();
      expect(await held!.result()).toBe('passed held');
    } finally {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
      await runner.release();
      await observer.end();
    }
  });

  it("a trigger in a caller's transaction leaves his lock_timeout as it is", async () => {
    await source.transaction(async (manager) => {
      await manager.query(`set local lock_timeout = '7s'`);
      await client.trigger(Echo, 1, { manager });
      expect(await manager.query('show lock_timeout')).toEqual([{ lock_timeout: '7s' }]);
    });
    // nor does one in no transaction leave anything behind on its connection
    await client.trigger(Echo, 1);
    await untilStatus(client, (await client.trigger(Echo, 2)).runId, 'completed');
    expect(await test.database.source.query('show lock_timeout')).toEqual([{ lock_timeout: '0' }]);
  });
});

describe('a lane', () => {
  class Blocked extends Error {}
  const fault = (error: unknown): StoreFault => (error instanceof Blocked ? 'blocked' : 'fatal');
  const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  /** A lane whose flush is blocked by these items, until they are taken out. */
  function laneBlockedBy(held: Set<number>) {
    const flushes: number[] = [];
    const flush = async (items: readonly number[]): Promise<number[]> => {
      flushes.push(items.length);
      await pause();
      if (items.some((item) => held.has(item))) throw new Blocked('canceling statement due to lock timeout');
      return items.map((item) => -item);
    };
    return { lane: new Lane<number, number>({ flush, fault, pause, maxItems: 500 }), flushes };
  }

  it('gives each item its own result, and none is left, whoever is blocked', async () => {
    const held = new Set([3, 77, 78, 499]);
    const { lane, flushes } = laneBlockedBy(held);
    const adding = Array.from({ length: 500 }, (_, i) => lane.add(i));
    const free = adding.filter((_, i) => !held.has(i));
    await Promise.all(free);
    // one batch, its 25 parts, and single items only where a part was blocked
    expect(flushes[0]).toBe(500);
    expect(flushes.filter((size) => size === 20)).toHaveLength(25);
    expect((await lane.add(1000)) + 1000).toBe(0);
    held.clear();
    expect(await Promise.all(adding)).toEqual(Array.from({ length: 500 }, (_, i) => -i));
  });

  it('waits for no blocked item any more once it is to give up', async () => {
    const { lane } = laneBlockedBy(new Set([1]));
    const [blocked, free] = [lane.add(1), lane.add(2)];
    await expect(free).resolves.toBe(-2);
    lane.giveUp();
    await expect(blocked).rejects.toBeInstanceOf(Blocked);
    await expect(lane.add(1)).rejects.toBeInstanceOf(Blocked);
    expect(await lane.add(5)).toBe(-5);
    expect(WorkflowError.is(await blocked.catch((error: unknown) => error))).toBe(false);
  });

  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const turns = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await turn();
  };

  /** A lane of two flushes at a time, which end when they are let go. */
  function laneOfTwo() {
    const flushes: { size: number; end: () => void }[] = [];
    const flush = (items: readonly number[]): Promise<readonly number[]> =>
      new Promise((resolve) => flushes.push({ size: items.length, end: () => resolve(items) }));
    const lane = new Lane<number, number>({ flush, fault, pause, maxItems: 500, maxFlushes: 2 });
    const adding: Promise<number>[] = [];
    const add = (count: number): void => {
      for (let i = 0; i < count; i++) adding.push(lane.add(i));
    };
    return { add, adding, flushes, sizes: () => flushes.map(({ size }) => size) };
  }

  it('begins a flush beside another one when it brings as much, and leaves the rest to the next one', async () => {
    const { add, adding, flushes, sizes } = laneOfTwo();
    add(10);
    await turns(5);
    add(4);
    await turns(5);
    expect(sizes()).toEqual([10]);
    add(6);
    await turns(5);
    expect(sizes()).toEqual([10, 10]);
    add(3);
    flushes[1]!.end();
    await turns(5);
    // one is still under way
    expect(sizes()).toEqual([10, 10]);
    flushes[0]!.end();
    await turns(5);
    expect(sizes()).toEqual([10, 10, 3]);
    flushes[2]!.end();
    expect(await Promise.all(adding)).toHaveLength(23);
  });

  it('lets no item wait for another one alone, nor a full flush for a larger one', async () => {
    const { add, adding, flushes, sizes } = laneOfTwo();
    add(1);
    await turns(5);
    add(1);
    await turns(5);
    expect(sizes()).toEqual([1, 1]);
    flushes.forEach(({ end }) => end());
    await turns(5);
    add(300);
    await turns(5);
    add(100);
    await turns(5);
    expect(sizes()).toEqual([1, 1, 300, 100]);
    flushes.forEach(({ end }) => end());
    expect(await Promise.all(adding)).toHaveLength(402);
  });

  it('gathers what comes turn by turn after a flush', async () => {
    const { add, adding, flushes, sizes } = laneOfTwo();
    add(20);
    await turns(5);
    add(2);
    flushes[0]!.end();
    for (let i = 0; i < 5; i++) {
      await turn();
      add(1);
    }
    await turns(5);
    expect(sizes()).toEqual([20, 7]);
    flushes[1]!.end();
    expect(await Promise.all(adding)).toHaveLength(27);
  });
});
