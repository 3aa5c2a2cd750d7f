import fc from 'fast-check';

/** Values that a program in JavaScript may pass where the types say otherwise. */

const thrown = (): never => {
  throw new RangeError('a getter of the caller threw');
};

/** fast-check itself looks for a mark of its own at what it makes. */
const unlessAsked = (_target: object, key: PropertyKey): unknown =>
  typeof key === 'symbol' && key.description?.startsWith('fast-check') ? undefined : thrown();

/** Each look at it throws. */
export const hostileProxy = (): object =>
  new Proxy(
    {},
    {
      get: unlessAsked,
      has: (target, key) => Boolean(unlessAsked(target, key)),
      ownKeys: thrown,
      getOwnPropertyDescriptor: thrown,
      getPrototypeOf: thrown,
    },
  );

function cyclic(): object {
  const value: Record<string, unknown> = { name: 'cycle', list: [] };
  value['self'] = value;
  (value['list'] as unknown[]).push(value);
  return value;
}

function nested(depth: number): unknown {
  let value: unknown = 'bottom';
  for (let i = 0; i < depth; i++) value = i % 2 ? [value] : { value };
  return value;
}

/** Made anew for each case: some change when they are used. */
const ODDITIES: readonly (() => unknown)[] = [
  () => Symbol('s'),
  () => () => 'a function',
  () => async () => 'an async function',
  () => thrown,
  () => class Unmarked {},
  () =>
    class {
      static readonly name = Symbol('named') as unknown as string;
    },
  () => 10n ** 40n,
  () => -0,
  () => NaN,
  () => Infinity,
  () => 2 ** 53,
  () => new Date(NaN),
  () => new Date(8.64e15),
  () => new Date(-8.64e15),
  () => new Map([[new Map(), new Set([1])]]),
  () => new Set(['a', new Set()]),
  () => new WeakMap(),
  () => Promise.resolve(1),
  () => new Uint8Array(8),
  () => Buffer.from('bytes'),
  () => new SharedArrayBuffer(8),
  () => new DataView(new ArrayBuffer(3)),
  () => new Float64Array([NaN, -0]),
  () => /x/gy,
  () => new URL('https://user:secret@example.com/?q'),
  () => new Error('an error', { cause: cyclic() }),
  () => new AggregateError([1, null], 'many'),
  () => Object.create(null) as unknown,
  () => Object.create({ inherited: 1 }) as unknown,
  () => JSON.parse('{"__proto__":{"polluted":true}}') as unknown,
  () => JSON.parse('{"constructor":{"prototype":{"polluted":true}}}') as unknown,
  () => ({ toJSON: thrown }),
  () => ({ toJSON: () => 'other' }),
  () => ({ toString: thrown, valueOf: thrown }),
  () => ({ toString: () => 'text', [Symbol.toPrimitive]: () => 7 }),
  () => ({ then: (resolve: (value: unknown) => void) => resolve('thenable') }),
  () => Object.defineProperty({}, 'x', { enumerable: true, get: thrown }),
  () => Object.defineProperty([1], 0, { enumerable: true, get: thrown }),
  () => Object.freeze({ frozen: true }),
  () => hostileProxy(),
  () => new Proxy([], {}),
  () => new Proxy(() => 1, {}),
  () => cyclic(),
  () => nested(1500),
  () => Array(5),
  () => Array(2 ** 32 - 1),
  () => [, 'hole'], // oxlint-disable-line no-sparse-arrays
  () => Array.from({ length: 100 }, (_, i) => `item ${i}`),
  () => 'x'.repeat(513),
  () => 'x'.repeat(70_000),
  () => '漢'.repeat(512),
  () => '😀'.repeat(256),
  () => 'a\0b',
  () => '\ud800',
  () => 'x\udc00y',
  () => '__proto__',
  () => 'constructor',
  () => 'toString',
  () => '',
  () => ' ',
  () => '\r\n',
  () => "'; drop table workflow_run; --",
  () => '{}',
  () => '{"a","b"}',
  () => '\\',
  () => '\u202e\u0000'.slice(0, 1),
  () => 'null',
  () => '1e9999s',
  () => '9'.repeat(400) + 's',
  () => '0x10s',
  () => '٣s',
];

export const oddity: fc.Arbitrary<unknown> = fc
  .integer({ min: 0, max: ODDITIES.length - 1 })
  .map((i) => ODDITIES[i]!());

/** Texts: any characters, halves of them too. */
export const text = (maxLength = 40): fc.Arbitrary<string> =>
  fc.oneof(
    fc.string({ maxLength }),
    fc.string({ unit: 'binary', maxLength }),
    fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength })
      .map((units) => String.fromCharCode(...units)),
  );

/** Anything there is. */
export const anything: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: oddity },
  {
    weight: 3,
    arbitrary: fc.anything({
      maxDepth: 3,
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withNullPrototype: true,
      withSparseArray: true,
      withTypedArray: true,
      withUnicodeString: true,
    }),
  },
  { weight: 1, arbitrary: text() },
);

/** The first of these that fits, mostly; anything else, now and then. */
export const mostly = <T>(good: fc.Arbitrary<T>, weight = 4): fc.Arbitrary<unknown> =>
  fc.oneof({ weight, arbitrary: good }, { weight: 1, arbitrary: anything });

/** An object with some of these fields, each mostly as it should be; sometimes no such object at all, or one that throws. */
export const strangeRecord = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record(
        Object.fromEntries(Object.entries(fields).map(([name, good]) => [name, mostly(good)])),
        { requiredKeys: [] },
      ),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(...Object.keys(fields))
        .map((name) => Object.defineProperty({}, name, { enumerable: true, get: thrown })),
    },
    { weight: 1, arbitrary: anything },
  );
