import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import { DevalueCodec } from './devalue.codec.js';

const codec = new DevalueCodec({ maxBytes: 1_048_576 });
const encode = (value: unknown): string => codec.encode(value, 'result of step "charge"');
const roundTrip = (value: unknown): any => codec.decode(encode(value));

function refusal(value: unknown): WorkflowError {
  try {
    encode(value);
  } catch (error) {
    return error as WorkflowError;
  }
  throw new Error('it was stored');
}

describe('plain JSON values', () => {
  it.each([[null], [true], ['text'], ['~5'], [1.5], [[]], [{ a: [1, { b: null }] }]])(
    '%j is JSON text, readable in SQL',
    (value) => {
      expect(encode(value)).toBe(JSON.stringify(value));
      expect(roundTrip(value)).toStrictEqual(value);
    },
  );

  it('an instance of a class, or an object without prototype, is JSON text when it holds nothing else', () => {
    class Order {
      id = 7;
      get total(): number {
        return 1;
      }
    }
    expect(encode({ order: new Order() })).toBe('{"order":{"id":7}}');
    expect(encode(Object.assign(Object.create(null), { a: 1 }))).toBe('{"a":1}');
  });

  it('round trip, property', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        fc.pre(!JSON.stringify(value).includes('__proto__'));
        expect(roundTrip(value)).toEqual(value);
      }),
    );
  });
});

describe('what JSON would lose', () => {
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['undefined inside', { a: undefined, b: [undefined] }],
    ['NaN', NaN],
    ['infinities', [Infinity, -Infinity]],
    ['-0', { zero: -0 }],
    ['bigint', 12345678901234567890n],
    ['Date', new Date('2025-11-23T01:02:03.004Z')],
    ['invalid Date', new Date(NaN)],
    [
      'Map',
      new Map<unknown, unknown>([
        ['a', 1],
        [{ k: 1 }, new Set([1])],
        [5n, undefined],
      ]),
    ],
    ['Set', new Set(['a', 1, null])],
    ['URL', new URL('https://example.org/a?b=ü#c')],
    ['URLSearchParams', new URLSearchParams('a=1&a=2')],
    ['RegExp', /a\/b[\u2028<]/giu],
    ['Uint8Array', new Uint8Array([0, 1, 255])],
    ['Float64Array', new Float64Array([1.5, -0, NaN])],
    ['BigInt64Array', new BigInt64Array([-1n])],
    ['DataView', new DataView(new Uint8Array([1, 2]).buffer)],
    ['ArrayBuffer', new Uint8Array([1, 2, 3]).buffer],
    ['sparse array', Object.assign([], { 2: 'c', length: 5 })],
    ['very sparse array', Object.assign([], { 4_000_000: 'far' })],
    ['empty very long array', Object.assign([], { length: 4_000_000_000 })],
  ])('%s comes back', (_, value) => {
    const text = encode(value);
    expect(text[0]).toBe('~');
    expect(codec.decode(text)).toStrictEqual(value);
    expect(encode(value)).toBe(text);
  });

  it('a Buffer comes back as a Buffer, also an empty one, and without the pool behind it', () => {
    for (const value of [Buffer.from('hello'), Buffer.alloc(0), Buffer.from('secret hello').subarray(7)]) {
      const back = roundTrip({ value }).value as Buffer;
      expect(Buffer.isBuffer(back)).toBe(true);
      expect(back.equals(value)).toBe(true);
    }
    expect(encode(new Uint8Array(8192).subarray(0, 4)).length).toBeLessThan(60);
  });

  it('bytes in shared memory come back as bytes of their own', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(2));
    shared[1] = 9;
    expect(roundTrip(shared)).toStrictEqual(new Uint8Array([0, 9]));
  });

  it('cycles and shared references come back as such', () => {
    const shared = { n: 1 };
    const value: Record<string, unknown> = { a: shared, b: shared, list: [shared] };
    value['self'] = value;
    const map = new Map<unknown, unknown>();
    map.set('me', map);
    const set = new Set<unknown>();
    set.add(set);
    const back = roundTrip({ value, map, set });
    expect(back.value.self).toBe(back.value);
    expect(back.value.a).toBe(back.value.b);
    expect(back.value.list[0]).toBe(back.value.a);
    expect(back.map.get('me')).toBe(back.map);
    expect(back.set.has(back.set)).toBe(true);
  });

  it('boxed primitives come back as primitives, named properties of arrays do not come back', () => {
    expect(roundTrip([Object('a'), Object(1n)])).toStrictEqual(['a', 1n]);
    expect(roundTrip(Object.assign([1n], { name: 'x', '-1': 1, '1.5': 2 }))).toStrictEqual([1n]);
    expect(roundTrip(Object.assign([1], { toJSON: () => 'hidden' }))).toStrictEqual([1]);
  });

  it('objects of another realm are recognised', () => {
    const back = roundTrip(
      runInNewContext('({ at: new Date(5), m: new Map([[1, /x/g]]), e: new TypeError("no") })'),
    );
    expect(back.at).toStrictEqual(new Date(5));
    expect(back.m).toStrictEqual(new Map([[1, /x/g]]));
    expect(back.e).toMatchObject({ name: 'TypeError', message: 'no' });
  });

  it('an entity comes back as plain data of its own enumerable properties, with its cycles', () => {
    class Author {
      name = 'Ann';
      books: Book[] = [];
      born = new Date(0);
    }
    class Book {
      constructor(readonly author: Author) {
        Object.defineProperty(this, 'hidden', { value: 1, enumerable: false });
        Object.defineProperty(this, Symbol('meta'), { value: 1, enumerable: true });
      }
      save(): void {}
    }
    const author = new Author();
    author.books.push(new Book(author));
    const back = roundTrip(author);
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(Object.getPrototypeOf(back.books[0])).toBe(Object.prototype);
    expect(Object.keys(back.books[0])).toEqual(['author']);
    expect(back.books[0].author).toBe(back);
    expect(back.born).toStrictEqual(new Date(0));
  });

  it('an array that a colleague made to look like a tag is not taken for one', () => {
    const value = [['Error', 1], ['Buffer', 2], ['Date', 'x'], undefined];
    expect(roundTrip(value)).toStrictEqual(value);
  });
});

describe('Errors', () => {
  it('come back with name, message, code and cause, and without the frames of the codec', () => {
    class CardDeclined extends Error {
      override name = 'CardDeclined';
      code = 'card_declined';
      secret = 'not kept';
    }
    const back = roundTrip({
      e: new CardDeclined('no funds', { cause: new RangeError('low', { cause: 5 }) }),
    }).e;
    expect(back).toBeInstanceOf(Error);
    expect(back).toMatchObject({ name: 'CardDeclined', message: 'no funds', code: 'card_declined' });
    expect(back.cause).toMatchObject({ name: 'RangeError', message: 'low', cause: 5 });
    expect(back).not.toHaveProperty('secret');
    expect(Object.keys(back)).toEqual(['code']);
    expect(back.stack).toBe('CardDeclined: no funds');
    expect(roundTrip(new Error('x'))).not.toHaveProperty('cause');
  });

  it('are shared when they were, and may point at the object that holds them', () => {
    const error = new Error('x');
    const value: Record<string, unknown> = { a: error, b: error };
    error.cause = value;
    const back = roundTrip(value);
    expect(back.a).toBe(back.b);
    expect(back.a.cause).toBe(back);
  });

  it('that contain themselves are refused', () => {
    const error = new Error('x');
    error.cause = { inner: error };
    expect(refusal([error]).message).toContain('[0].cause.inner is an Error that contains itself');
  });
});

describe('strings', () => {
  it.each([['a\0b'], ['\uD800'], ['x\uDC00\uD83D'], ['\\\uD800'], ['😀'], ['"\u2028\n']])(
    '%j survives UTF-8, in JSON and beside it',
    (text) => {
      for (const value of [text, { [text]: text }, [text, undefined], new Map([[text, text]])]) {
        const stored = encode(value);
        expect(stored).not.toContain('\0');
        expect(codec.decode(Buffer.from(stored, 'utf8').toString('utf8'))).toStrictEqual(value);
      }
    },
  );
});

describe('what cannot be stored', () => {
  it.each<[string, unknown, string]>([
    ['a function', () => 1, 'it is a function'],
    ['a method', { items: [0, 1, 2, { send() {} }] }, '.items[3].send is a function'],
    ['a symbol', { a: Symbol('x') }, '.a is a symbol'],
    ['a symbol key', [{ [Symbol('meta')]: 1 }], '[0] has a property named by a symbol, Symbol(meta)'],
    ['a Promise', { 'odd key': Promise.resolve() }, '["odd key"] is a Promise; await it first'],
    ['a thenable', { q: Object.create({ then() {} }) }, '.q is a Promise; await it first'],
    ['a WeakMap', [new WeakMap()], '[0] is an object of type WeakMap, which is no plain data'],
    ['a Response', new Response(''), 'it is an object of type Response, which is no plain data'],
    ['an iterator', [1].values(), 'it is an object of type Array Iterator, which is no plain data'],
    [
      'shared memory',
      new SharedArrayBuffer(1),
      'it is an object of type SharedArrayBuffer, which is no plain data',
    ],
    ['a stream', { body: new PassThrough() }, '.body is a stream; read it first'],
    ['an emitter with listeners', new EventEmitter().on('x', () => 1), '._events.x is a function'],
    ['a Map value', new Map([['k', { f() {} }]]), '.get("k").f is a function'],
    ['a Map value of another key', new Map([[1, () => 1]]), '.get(key 0) is a function'],
    ['a Map key', new Map([[() => 1, 1]]), '.keys()[0] is a function'],
    ['a Set item', new Set([1, () => 1]), '.values()[1] is a function'],
    [
      'a __proto__ key',
      JSON.parse('{"a":{"__proto__":{"admin":true}}}'),
      '.a has a property named "__proto__"',
    ],
    [
      'a getter that throws',
      {
        a: {
          get b() {
            throw new Error('no');
          },
        },
      },
      '.a.b could not be read: its getter threw',
    ],
  ])('%s is refused with its path', (_, value, problem) => {
    const error = refusal(value);
    expect(WorkflowError.is(error, 'WF_NOT_SERIALIZABLE')).toBe(true);
    expect(error.message).toContain(`result of step "charge" cannot be stored: ${problem}. `);
    expect(error.cause).toBeInstanceOf(Error);
  });

  it('a Proxy that throws at every look is refused', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusal({ proxy }).message).toContain('cannot be stored: reading it failed.');
  });

  it('endless nesting is refused, and a thousand levels less one are not', () => {
    const nest = (levels: number): unknown => {
      let value: unknown = [];
      for (let i = 1; i < levels; i++) value = [value];
      return value;
    };
    expect(roundTrip(nest(1000))).toBeDefined();
    expect(roundTrip([nest(999), undefined])).toBeDefined();
    expect(refusal(nest(1001)).message).toContain('… is nested more than 1000 levels deep');
  });
});

it('a getter is asked once only, so that it cannot answer differently when the text is written', () => {
  let asked = 0;
  const value = {
    at: new Date(0),
    get once() {
      asked++;
      return asked;
    },
  };
  expect(roundTrip(value).once).toBeGreaterThan(0);
  expect(asked).toBe(1);
});

describe('size', () => {
  const small = new DevalueCodec({ maxBytes: 10 });

  it('is counted in bytes of UTF-8', () => {
    expect(small.encode('12345678', 'x')).toBe('"12345678"');
    expect(small.encode('üüüü', 'x')).toBe('"üüüü"');
    expect(() => small.encode('123456789', 'payload of run r1')).toThrowError(
      'payload of run r1 is 11 bytes long, and at most 10 are allowed',
    );
    expect(() => small.encode('üüüüü', 'x')).toThrowError('[WF_TOO_LARGE]');
    expect(() => small.encode(new Date(0), 'x')).toThrowError('[WF_TOO_LARGE]');
  });
});

describe('a text that this codec did not write', () => {
  it.each([
    [''],
    ['nonsense'],
    ['~'],
    ['~{}'],
    ['~[["Nothing",1]]'],
    ['~[{"__proto__":1},{}]'],
    ['~[["Error",1]]'],
  ])('%j is refused', (text) => {
    expect(() => codec.decode(text)).toThrowError(WorkflowError);
  });

  it('never changes a prototype', () => {
    const back = codec.decode('{"__proto__":{"admin":true}}') as object;
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });
});

const leaf = fc.oneof(
  fc.anything({ maxDepth: 0, withBigInt: true, withDate: true, withTypedArray: true, withSparseArray: true }),
  fc.string({ unit: 'binary' }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.webUrl().map((url) => new URL(url)),
  fc.constantFrom(/x/g, /[\ud800]/),
);
const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie('value')),
    fc.sparseArray(tie('value')),
    fc.dictionary(
      fc.string({ unit: 'binary' }).filter((key) => key !== '__proto__'),
      tie('value'),
    ),
    fc.array(fc.tuple(tie('value'), tie('value'))).map((entries) => new Map(entries)),
    fc.array(tie('value')).map((items) => new Set(items)),
  ),
}));

it('gives back what it was given, as the same text each time, whatever it is built of', () => {
  fc.assert(
    fc.property(anything, (value) => {
      const text = encode(value);
      expect(text).not.toMatch(/\0|\p{Surrogate}/u);
      expect(encode(value)).toBe(text);
      const back = codec.decode(text);
      expect(back).toEqual(value);
      // a second trip starts from plain data, and must change nothing
      expect(encode(back)).toBe(text);
    }),
    { numRuns: 300 },
  );
});
