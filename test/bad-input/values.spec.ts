import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Workflow, WorkflowContext, type ClientTriggerOptions } from 'nestjs-workflow';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { dump, Echo, Go, startApp, statementsOf, Waits, WORKFLOWS, type TestApp } from '../client/support.js';

/** Gives back what its payload names, as its own result. */
@Workflow({ name: 'gives-back' })
class GivesBack {
  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    return RESULTS[ctx.payload]!();
  }
}

/** Makes one durable call with an argument that is none. */
@Workflow({ name: 'calls-badly', retries: 0 })
class CallsBadly {
  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    return CALLS[ctx.payload]!(ctx);
  }
}

const RESULTS: Record<string, () => unknown> = {
  'a function': () => ({ list: [1, () => 2] }),
  'a promise': () => ({ later: Promise.resolve(1) }),
  'a symbol': () => new Map([['key', Symbol('s')]]),
  'too large': () => 'x'.repeat(2 ** 20),
};

const bad = '5' as '5s';
const CALLS: Record<string, (ctx: WorkflowContext<string>) => unknown> = {
  'sleep without a unit': (ctx) => ctx.sleep('nap', bad),
  'sleep of a number': (ctx) => ctx.sleep('nap', 5 as unknown as '5s'),
  'sleep of a negative time': (ctx) => ctx.sleep('nap', '-5s'),
  'sleep without a name': (ctx) => ctx.sleep('', '1s'),
  'sleep until nothing': (ctx) => ctx.sleepUntil('nap', new Date(NaN)),
  'a wait without a unit': (ctx) => ctx.waitForEvent('w', 'e', { timeout: bad }),
  'a wait for a NUL': (ctx) => ctx.waitForEvent('w', 'a\0b'),
  'a wait for nothing': (ctx) => ctx.waitForEvent('w', ''),
  'a step with a NUL in its name': (ctx) => ctx.run('a\0b', () => 1),
  'a step timeout that is none': (ctx) => ctx.run('s', () => 1, { timeout: bad }),
  'retries that are none': (ctx) => ctx.run('s', () => 1, { retries: NaN }),
};

describe.each(DATABASES)('values on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await create();
    test = await startApp(db, { providers: [...WORKFLOWS, GivesBack, CallsBadly] });
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  const cyclicError = new Error('outer');
  cyclicError.cause = cyclicError;

  it.each<[string, unknown, string, string]>([
    ['a function', { list: [{ f: () => 1 }] }, 'WF_NOT_SERIALIZABLE', '.list[0].f is a function'],
    ['a symbol', new Map([['k', Symbol('s')]]), 'WF_NOT_SERIALIZABLE', '.get("k") is a symbol'],
    ['a promise', { later: Promise.resolve() }, 'WF_NOT_SERIALIZABLE', '.later is a Promise; await it first'],
    [
      'a class without data',
      { it: new WeakMap() },
      'WF_NOT_SERIALIZABLE',
      '.it is an object of type WeakMap',
    ],
    ['an error in itself', cyclicError, 'WF_NOT_SERIALIZABLE', 'contains itself'],
    [
      'a getter that throws',
      Object.defineProperty({}, 'x', {
        enumerable: true,
        get: () => {
          throw new Error('no');
        },
      }),
      'WF_NOT_SERIALIZABLE',
      '.x could not be read',
    ],
    [
      'a mebibyte',
      'x'.repeat(2 ** 20),
      'WF_TOO_LARGE',
      'is 1048578 bytes long, and at most 1048576 are allowed',
    ],
    ['many bytes in few characters', '漢'.repeat(400_000), 'WF_TOO_LARGE', 'is 1200002 bytes long'],
  ])('a payload with %s is refused, and nothing is written', async (_what, payload, code, said) => {
    const { client } = test;
    const before = await dump(test);
    const refused = { code, message: expect.stringContaining(said) };
    const names = await statementsOf(test, async () => {
      await expect(client.trigger(Echo, payload, { runId: 'r' })).rejects.toMatchObject({
        ...refused,
        message: expect.stringMatching(/^payload of run r /),
      });
      await expect(client.trigger(Echo, payload)).rejects.toMatchObject(refused);
      await expect(client.notify('e', payload, { keepFor: '1h' })).rejects.toMatchObject(refused);
    });
    // it was refused before anybody was asked
    expect(names.filter((name) => /trigger|notify|keep/.test(name))).toEqual([]);
    expect(await dump(test)).toEqual(before);
  });

  it.each([
    ['a function', 'WF_NOT_SERIALIZABLE', 'cannot be stored: .list[1] is a function'],
    ['a promise', 'WF_NOT_SERIALIZABLE', '.later is a Promise; await it first'],
    ['a symbol', 'WF_NOT_SERIALIZABLE', '.get("key") is a symbol'],
    ['too large', 'WF_TOO_LARGE', 'is 1048578 bytes long'],
  ])('a result of run that is %s fails the run, which says why', async (what, code, said) => {
    const run = await test.client.trigger(GivesBack, what);
    await expect(run.result()).rejects.toThrow(said);
    expect(await run.get()).toMatchObject({
      status: 'failed',
      error: { code, message: expect.stringMatching(/^result of run .*\[WF_[A-Z_]+\]$/) },
    });
  });

  it.each([
    ['sleep without a unit', 'WF_INVALID_DURATION', '"5" is not a duration. Write a number and a unit'],
    ['sleep of a number', 'WF_INVALID_DURATION', '5 is not a duration'],
    ['sleep of a negative time', 'WF_INVALID_DURATION', '"-5s" is not a duration'],
    ['sleep without a name', 'WF_INVALID_ARGUMENT', 'must be a string that is not empty'],
    ['sleep until nothing', 'WF_INVALID_ARGUMENT', 'ctx.sleepUntil("nap") needs a valid Date'],
    ['a wait without a unit', 'WF_INVALID_DURATION', '"5" is not a duration'],
    ['a wait for a NUL', 'WF_INVALID_ARGUMENT', 'The event id "a\\u0000b" contains a NUL character'],
    ['a wait for nothing', 'WF_INVALID_ARGUMENT', 'The event id must be a string that is not empty'],
    ['a step with a NUL in its name', 'WF_INVALID_ARGUMENT', 'contains a NUL character'],
    ['a step timeout that is none', 'WF_INVALID_DURATION', '"5" is not a duration'],
    ['retries that are none', 'WF_INVALID_OPTIONS', '`retries`'],
  ])('%s in run fails the run, and journals nothing', async (call, code, said) => {
    const run = await test.client.trigger(CallsBadly, call);
    await expect(run.result({ timeout: '10s' })).rejects.toThrow(said);
    expect(await run.get()).toMatchObject({ status: 'failed', error: { code } });
    expect(await test.client.journal(run.runId)).toEqual([]);
  });

  const names: [string, unknown, string][] = [
    ['a NUL', 'a\0b', 'contains a NUL character'],
    ['a lone surrogate', 'a\ud800b', 'contains half of a character (a lone surrogate)'],
    ['nothing in it', '', 'must be a string that is not empty'],
    ['no end', 'x'.repeat(513), 'is longer than 512 characters'],
    ['another type', 7, 'must be a string that is not empty'],
  ];
  it.each(names)(
    'names with %s are refused wherever one is given, and nothing is written',
    async (_what, name, said) => {
      const { client } = test;
      const text = name as string;
      const before = await dump(test);
      const refused = {
        code: 'WF_INVALID_ARGUMENT',
        message: expect.stringContaining(`${said}. Correct the argument. [WF_INVALID_ARGUMENT]`),
      };
      const calls: (() => Promise<unknown>)[] = [
        () => client.trigger(Echo, 1, { runId: text }),
        () => client.trigger(Echo, 1, { labels: ['fine', text] }),
        () => client.triggerMany(Echo, [{ payload: 1 }, { payload: 1, runId: text }]),
        () => client.notify(text, 1, { keepFor: '1h' }),
        () => client.notify({ id: text }, 1),
        () => client.notify(Go('x'), 'y', { runId: text }),
        () => client.getWaiters(text),
        () => client.get(text),
        () => client.journal(text),
        () => client.cancel([text]),
        () => client.cancel({ label: text }),
        () => client.list({ label: text }),
        async () => client.run(Waits, text),
      ];
      for (const call of calls) await expect(call()).rejects.toMatchObject(refused);
      expect(await dump(test)).toEqual(before);
    },
  );

  it.each<[string, ClientTriggerOptions, string, string]>([
    ['a delay without a unit', { delay: bad }, 'WF_INVALID_DURATION', '"5" is not a duration'],
    [
      'a delay that is a number',
      { delay: 5 as unknown as '5s' },
      'WF_INVALID_DURATION',
      '5 is not a duration',
    ],
    ['a delay of ages', { delay: '999999999d' }, 'WF_INVALID_DURATION', '"999999999d" is not a duration'],
    ['a negative delay', { delay: '-1s' }, 'WF_INVALID_DURATION', '"-1s" is not a duration'],
    [
      'a date that is none',
      { notBefore: new Date(NaN) },
      'WF_INVALID_ARGUMENT',
      '`notBefore` is not a valid Date',
    ],
    [
      'a date as text',
      { notBefore: '2030-01-01' as unknown as Date },
      'WF_INVALID_ARGUMENT',
      '`notBefore` is not a valid Date',
    ],
    [
      'delay and notBefore',
      { delay: '1s', notBefore: new Date() },
      'WF_INVALID_ARGUMENT',
      '`delay` and `notBefore` are both given',
    ],
    [
      'labels that are a text',
      { labels: 'x' as unknown as string[] },
      'WF_INVALID_ARGUMENT',
      '`labels` is not an array',
    ],
    [
      'too many labels',
      { labels: Array.from({ length: 65 }, (_, i) => `l${i}`) },
      'WF_INVALID_ARGUMENT',
      'A run has at most 64 labels',
    ],
  ])('trigger with %s is refused, and nothing is written', async (_what, options, code, said) => {
    const before = await dump(test);
    await expect(test.client.trigger(Echo, 1, options)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(said),
    });
    expect(await dump(test)).toEqual(before);
  });

  it('a time to keep an event that is no duration is refused', async () => {
    await expect(test.client.notify('e', 1, { keepFor: bad })).rejects.toMatchObject({
      code: 'WF_INVALID_DURATION',
      message: expect.stringContaining("Write a number and a unit, such as '30s'"),
    });
  });

  it('dates at the ends of what Date knows are stored, or refused, and never hurt others', async () => {
    const { client } = test;
    const [far, early, fine] = await Promise.allSettled([
      client.trigger(Echo, 1, { notBefore: new Date(8.64e15), runId: 'far' }),
      client.trigger(Echo, 1, { notBefore: new Date(-8.64e15), runId: 'early' }),
      client.trigger(Echo, 1, { runId: 'fine' }),
    ]);
    expect([far.status, fine.status]).toEqual(['fulfilled', 'fulfilled']);
    expect(early.status === 'fulfilled' || early.reason.code === 'WF_NOT_STORABLE').toBe(true);
    expect(await client.run(Echo, 'fine').result()).toBe(1);
  });
});
