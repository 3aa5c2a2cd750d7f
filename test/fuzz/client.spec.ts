import fc from 'fast-check';
import { expect } from 'vitest';
import { Echo, Engine, Keyed } from './engine.js';
import { Cases, expectWorkflowError, outcomeOf } from './support.js';
import { CLIENT_CALLS, type ClientCall } from './client-calls.js';
import { anything } from './strange.js';

const cases = new Cases('client');

/** What the calls may find. */
async function engineWithRuns(): Promise<Engine> {
  const engine = new Engine();
  await engine.client.trigger(Echo, 1, { runId: 'there', labels: ['mine'] });
  await engine.client.trigger(Keyed, { tenant: 'a', order: 7 }, { runId: 'keyed' });
  await engine.client.schedules.create(Echo, { id: 'nightly', every: '1h', payload: 1 });
  return engine;
}

/** It does what was asked, or throws an error of this library and has written nothing; the next call finds all as it was. */
async function holds(call: ClientCall): Promise<void> {
  const engine = await engineWithRuns();
  const before = engine.dump();
  const outcome = await outcomeOf(() => call(engine.client));
  if (!outcome.ok) {
    expectWorkflowError(outcome.error);
    expect(engine.dump()).toBe(before);
  }
  const next = await engine.client.trigger(Echo, { n: 1 }, { runId: 'next', labels: ['after'] });
  expect(await next.get()).toMatchObject({ status: 'pending', payload: { n: 1 }, labels: ['after'] });
}

for (const [name, { share, calls }] of Object.entries(CLIENT_CALLS))
  cases.property(name, share, calls, holds);

cases.property('a payload comes back as the codec keeps it', 3000, anything, async (payload) => {
  const engine = new Engine();
  const outcome = await outcomeOf(() => engine.client.trigger(Echo, payload, { runId: 'it' }));
  if (!outcome.ok) {
    expectWorkflowError(outcome.error);
    return;
  }
  const { payload: stored } = await outcome.value.get();
  // again with what came back: it is what was stored, so the same run
  const again = await engine.client.trigger(Echo, stored, { runId: 'it' });
  expect(again.created).toBe(false);
  expect((await engine.client.list()).runs).toHaveLength(1);
});

cases.property(
  'data of an event comes to the run',
  1000,
  fc.tuple(anything, anything),
  async ([event, data]) => {
    const engine = await engineWithRuns();
    const before = engine.dump();
    const outcome = await outcomeOf(() => engine.client.notify(event as string, data, { runId: 'there' }));
    if (!outcome.ok) {
      expectWorkflowError(outcome.error);
      expect(engine.dump()).toBe(before);
      return;
    }
    const [kept] = [...engine.tables.messages.values()];
    const read = engine.codec.decode(kept!.data);
    expect(engine.codec.encode(read, 'it')).toBe(kept!.data);
  },
);
