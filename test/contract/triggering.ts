import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Bench } from './support.js';

export function triggering(bench: () => Bench): void {
  it('inserts a run that is due at once, and says so', async () => {
    const b = bench();
    const row = b.row(b.id('r'), { version: '2', labels: ['a', 'b "quoted"', 'c,d', '{e}', 'f\\g', 'null'] });
    const [triggered] = await b.store.trigger([row]);
    expect(triggered).toMatchObject({
      created: true,
      lease: null,
      now: b.now,
      header: {
        runId: row.runId,
        workflow: b.workflow,
        version: '2',
        payload: row.payload,
        labels: row.labels,
        attempt: 1,
        createdAt: b.now,
        deadlineAt: null,
      },
    });
    expect(await b.store.find(row.runId)).toMatchObject({ status: 'pending', labels: row.labels });
    const { tasks } = await b.store.claim(b.worker, [`${b.workflow}@2`], 10, null);
    expect(tasks).toMatchObject([{ runId: row.runId, fence: 1, step: null, version: '2' }]);
  });

  it('gives the run that exists under the same id, whatever it is, and changes nothing', async () => {
    const b = bench();
    const first = b.row(b.id('r'), { labels: ['one'] });
    const [created] = await b.store.trigger([first]);
    b.clock.pass(1000);
    const [again] = await b.store.trigger([b.row(first.runId, { payload: '"other"', labels: ['two'] })]);
    expect(again).toEqual({ ...created, created: false, now: b.now });
    expect(await b.claim()).toHaveLength(1);
  });

  it('repeated unchanged after a lost reply, it is the same run and still the one created by this call', async () => {
    const b = bench();
    const row = b.row(b.id('r'), { owner: b.worker });
    const [first] = await b.store.trigger([row]);
    const [second] = await b.store.trigger([row]);
    expect(second).toEqual(first);
    expect(second!.lease).not.toBeNull();
  });

  it('gives one run to two calls with the same id in one batch: one of them has created it', async () => {
    const b = bench();
    const rows = [b.row(b.id('r')), b.row(b.id('r'), { payload: '"late"' }), b.row(b.id('s'))];
    const triggered = await b.store.trigger(rows);
    expect(triggered.filter((one) => one!.created)).toHaveLength(2);
    expect(new Set(triggered.map((one) => one!.header.execution)).size).toBe(2);
    expect(triggered[0]!.header.execution).toBe(triggered[1]!.header.execution);
    expect(triggered.map((one) => one!.header.runId)).toEqual(rows.map(({ runId }) => runId));
    expect(await b.claim()).toHaveLength(2);
  });

  it('inserts the run already leased to its owner, whom no claim overtakes', async () => {
    const b = bench();
    const [triggered] = await b.store.trigger([b.row(b.id('r'), { owner: b.worker })]);
    expect(triggered!.lease).toMatchObject({ fence: 1 });
    expect(await b.claim()).toEqual([]);
    expect(await b.load(triggered!.lease!)).toMatchObject({ turn: 0, rows: [], wanted: 0 });
  });

  it('leases nothing to the owner of a call that came second', async () => {
    const b = bench();
    await b.store.trigger([b.row(b.id('r'), { owner: b.worker })]);
    const [second] = await b.store.trigger([b.row(b.id('r'), { owner: b.worker, triggerId: randomUUID() })]);
    expect(second).toMatchObject({ created: false, lease: null });
  });

  it('is due after the delay, or at the time', async () => {
    const b = bench();
    await b.store.trigger([
      b.row(b.id('delayed'), { due: { inMs: 5000 } }),
      b.row(b.id('dated'), { due: { at: b.now + 7000 } }),
      b.row(b.id('past'), { due: { at: b.now - 7000 } }),
    ]);
    expect((await b.claim()).map(({ runId }) => runId)).toEqual([b.id('past')]);
    b.clock.pass(5000);
    expect((await b.claim()).map(({ runId }) => runId)).toEqual([b.id('delayed')]);
    b.clock.pass(2000);
    expect((await b.claim()).map(({ runId }) => runId)).toEqual([b.id('dated')]);
  });

  it('keeps the deadline of the run', async () => {
    const b = bench();
    const task = await b.claimed('r', { deadlineInMs: 60_000 });
    expect((await b.load(task)).header.deadlineAt).toBe(b.now + 60_000);
  });

  it('of runs that belong together inserts all, those that exist as they are', async () => {
    const b = bench();
    const exists = b.row(b.id('exists'));
    await b.store.trigger([exists]);
    const rows = [b.row(b.id('a')), b.row(exists.runId), b.row(b.id('b'))];
    const triggered = await b.store.triggerAll(rows);
    expect(triggered.map((one) => one?.created)).toEqual([true, false, true]);
    expect(await b.store.triggerAll([])).toEqual([]);
  });

  it.each([{ payload: '"other"' }, { workflow: 'other' }])(
    'of runs that belong together inserts none when one exists with %j',
    async (other) => {
      const b = bench();
      await b.store.trigger([b.row(b.id('exists'))]);
      const rows = [b.row(b.id('a')), b.row(b.id('exists'), other), b.row(b.id('b'))];
      const triggered = await b.store.triggerAll(rows);
      expect(triggered.map((one) => one && one.header.payload)).toEqual([null, '{"n":1}', null]);
      expect(await b.store.find(b.id('a'))).toBeNull();
      expect(await b.store.find(b.id('b'))).toBeNull();
    },
  );

  it('takes hundreds of runs at once and answers in their order', async () => {
    const b = bench();
    const rows = Array.from({ length: 300 }, (_, i) => b.row(b.id(`r${(i * 7) % 300}`)));
    const triggered = await b.store.trigger(rows);
    expect(triggered.map((one) => one!.header.runId)).toEqual(rows.map(({ runId }) => runId));
    expect(triggered.every((one) => one!.created)).toBe(true);
  });
}
