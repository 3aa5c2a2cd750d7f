import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defineEvent } from 'nestjs-workflow';
import { Bench, MODES } from './support.js';

const Given = defineEvent<unknown>('given');

const kinds: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  'undefined inside': { a: undefined, b: [undefined] },
  numbers: [NaN, Infinity, -Infinity, -0, 0.1, Number.MAX_SAFE_INTEGER],
  bigint: -12345678901234567890n,
  Date: new Date('2025-11-23T01:02:03.004Z'),
  'invalid Date': new Date(NaN),
  Map: new Map<unknown, unknown>([
    ['a', 1],
    [{ k: 1 }, new Set([1])],
  ]),
  Set: new Set(['a', null, 1n]),
  Buffer: Buffer.from('hello'),
  Uint8Array: new Uint8Array([0, 255]),
  Float64Array: new Float64Array([1.5, -0]),
  ArrayBuffer: new Uint8Array([1, 2]).buffer,
  URL: new URL('https://example.org/a?b=ü#c'),
  URLSearchParams: new URLSearchParams('a=1&a=2'),
  RegExp: /a\/b/giu,
  'sparse array': Object.assign([], { 2: 'c', length: 5 }),
  Error: new Error('low', { cause: new Error('lower', { cause: 5 }) }),
  NUL: 'a\0b',
  'lone surrogate': '\uD800x',
  'odd keys': { '': 1, '\0': 2, 'ü "': 3 },
};

const leaf = fc.oneof(
  fc.anything({ maxDepth: 0, withBigInt: true, withDate: true, withTypedArray: true }),
  fc.string({ unit: 'binary' }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.webUrl().map((url) => new URL(url)),
);
const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.string({ unit: 'binary' }).filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 4 },
    ),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => new Set(items)),
  ),
}));

describe.each(MODES)('values: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode);
  });
  afterAll(() => bench.dispose());

  /** Gives the values as step results, task results, event data, payload and result; tells what the code saw in each replay. */
  async function throughARun(
    values: unknown[],
  ): Promise<{ result: unknown; views: unknown[]; replays: number }> {
    const views: unknown[] = [];
    const run = await bench.start(
      async (ctx) => {
        const inline = await ctx.run('inline', () => values);
        const [task] = await Promise.all([ctx.run('task', () => values), ctx.run('beside', () => 1)]);
        const event = await ctx.waitForEvent('given', Given(ctx.runId));
        views.push({ inline, task, event: event.data, payload: ctx.payload.data });
        await ctx.sleep('nap', '1h');
        await ctx.run('after', () => 1);
        return inline;
      },
      { data: values },
    );
    await run.waitsFor('given');
    await run.handle.notify(Given(run.runId), values);
    await run.waitsFor('nap');
    bench.move(3_600_000);
    return { result: await run.result(), views, replays: run.replays };
  }

  it.each(Object.entries(kinds))('%s is equal live and replayed', async (_, value) => {
    const { result, views, replays } = await throughARun([value]);
    expect(result).toStrictEqual([value]);
    for (const view of views)
      expect(view).toStrictEqual({ inline: [value], task: [value], event: [value], payload: [value] });
    expect(views.length).toBeGreaterThan(mode.fresh ? 1 : 0);
    expect(replays).toBeGreaterThan(1);
  });

  it('so is whatever is built of them, property', async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (value) => {
        const { result, views } = await throughARun([value]);
        expect(result).toEqual([value]);
        for (const view of views)
          expect(view).toEqual({ inline: [value], task: [value], event: [value], payload: [value] });
      }),
      { numRuns: 15 },
    );
  }, 120_000);

  it('a value is a copy of its own for each replay: what the code does to it changes nothing', async () => {
    const run = await bench.start(async (ctx) => {
      const list = await ctx.run('list', () => [1]);
      list.push(2);
      await ctx.sleep('nap', '1h');
      const again = await ctx.run('again', () => list.length);
      return [list, again];
    });
    await run.waitsFor('nap');
    bench.move(3_600_000);
    expect(await run.result()).toEqual([[1, 2], 2]);
  });
});
