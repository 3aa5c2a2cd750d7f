import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { bundle, Child } from '../support/child.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import type { Execution, Finished, Order, Started } from './protocol.js';

// processes boot one after the other
vi.setConfig({ testTimeout: 120_000 });

let program: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  program = await bundle('test/crash/children/worker.ts');
});
afterAll(() => program?.remove());

describe('a step that kills its process', () => {
  let database: TestDatabase;
  let folder: string;
  let file: string;
  beforeEach(async () => {
    database = await createPostgres();
    folder = mkdtempSync(join(tmpdir(), 'workflow-lost-'));
    file = join(folder, 'executions');
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true, force: true });
    await database.dispose();
  });

  const start = (order: Partial<Order>): Child =>
    Child.start(program.file, [
      JSON.stringify({
        database: database.options,
        transport: 'in-process',
        make: 'deadly',
        serve: ['deadly'],
        file,
        ...order,
      } satisfies Order),
    ]);
  const begin = (times: number): Partial<Order> => ({
    start: { workflow: 'deadly', runId: 'r', payload: { times } },
  });
  const executions = (step: string): number =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Execution)
      .filter((execution) => execution.step === step).length;

  it('takes five of them, and no more: the run fails as WF_WORKER_LOST and its @OnFailure is called', async () => {
    for (let loss = 1; loss <= 5; loss++) {
      const child = start({ deadly: true, ...(loss === 1 && begin(1)) });
      expect(await child.ended).toBe('SIGKILL');
      expect(executions('Steps.deadly')).toBe(loss);
    }
    // this one would be killed as well; it ends because the step is not executed
    const last = start({ deadly: true, finish: ['r'] });
    const { outcomes } = await last.message<Finished>(({ at }) => at === 'finished');
    await last.ended;
    expect(outcomes).toEqual([{ runId: 'r', failed: expect.stringContaining('[WF_WORKER_LOST]') }]);
    expect(outcomes[0]!.failed).toContain('5 times');
    expect(executions('Steps.prepare')).toBe(1);
    expect(executions('Steps.deadly')).toBe(5);
    expect(executions('onFailure/Steps.compensate')).toBe(1);
  });

  it('takes five of them also when it undoes something: it is given up, and the others are undone', async () => {
    for (let loss = 1; loss <= 5; loss++) {
      expect(await start({ deadly: true, ...(loss === 1 && begin(-1)) }).ended).toBe('SIGKILL');
    }
    const last = start({ deadly: true, finish: ['r'] });
    const { outcomes } = await last.message<Finished>(({ at }) => at === 'finished');
    await last.ended;
    expect(outcomes).toEqual([{ runId: 'r', failed: expect.stringContaining('to be undone') }]);
    expect(executions('rollback/deadly')).toBe(5);
    expect(executions('rollback/first')).toBe(1);
    expect(executions('onFailure/Steps.compensate')).toBe(1);
  });

  it('is given all its chances again once the run has made progress', async () => {
    const losses = async (count: number, order: Partial<Order>): Promise<void> => {
      for (let loss = 1; loss <= count; loss++) {
        expect(await start({ deadly: true, ...(loss === 1 && order) }).ended).toBe('SIGKILL');
      }
    };
    await losses(4, begin(2));
    // this one gets over the first deadly step and dies, by the probe, when the second one has been executed
    const over = start({
      kill: { runId: 'r', point: 'step-executed', step: 'Steps.deadly#2', nth: 1 },
      finish: ['r'],
    });
    expect(await over.ended).toBe('SIGKILL');
    await losses(3, {});

    const last = start({ finish: ['r'] });
    const [{ before }, { outcomes }] = await Promise.all([
      last.message<Started>(({ at }) => at === 'started'),
      last.message<Finished>(({ at }) => at === 'finished'),
    ]);
    await last.ended;
    expect(before.tasks.map(({ lost }) => lost)).toEqual([3]); // of four: the last one has not been noticed yet
    expect(outcomes).toEqual([{ runId: 'r', result: 'survived' }]);
    expect(executions('Steps.deadly')).toBe(5);
    expect(executions('Steps.deadly#2')).toBe(5);
  });
});
