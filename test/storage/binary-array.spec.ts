import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bools, float8s, int2s, int4s, int8s, texts, uuids } from '../../lib/typeorm/binary-array.js';
import { Database } from '../../lib/typeorm/database.js';
import { decodeArray } from '../support/binary-array.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

const UUID = '0190d7a1-1111-7abc-8def-0123456789ab';
const CASES: [type: string, write: (values: any[]) => Buffer, values: unknown[]][] = [
  ['smallint', int2s, [0, -32768, 32767, null]],
  ['int', int4s, [0, 1, -1, 2_147_483_647, -2_147_483_648, null]],
  [
    'bigint',
    int8s,
    ['0', '1', '4294967295', '4294967296', '-1', '9007199254740993', '9223372036854775807', null],
  ],
  ['float8', float8s, [0, -0.5, 1_763_900_000_123.25, Infinity, -Infinity, null]],
  ['boolean', bools, [true, false, null]],
  ['uuid', uuids, [UUID, null]],
  [
    'text',
    texts,
    [null, '', 'a', 'ü€😀', '{"a":"\\"b\\"","c":[1,null]}', 'null', '{}', 'x'.repeat(2000), 'ü'.repeat(5000)],
  ],
];

describe.each(DATABASES)('binary arrays on $name', (databases) => {
  let database: TestDatabase;
  let source: DataSource;
  let db: Database;
  beforeAll(async () => {
    database = await databases.create();
    source = await database.open();
    db = new Database(source);
  });
  afterAll(async () => {
    await db?.close();
    await source?.destroy();
    await database?.dispose();
  });

  const read = async (type: string, parameter: Buffer): Promise<unknown[]> => {
    const text = `select v::text as v from unnest($1::${type}[]) with ordinality as u(v, n) order by n`;
    return (await db.query<{ v: string | null }>(`read_${type}`, text, [parameter])).map(({ v }) => v);
  };

  it.each(CASES)('of %s come as they were', async (type, write, values) => {
    const asText = await read(type, write(values));
    const wanted = values.map((value) => (value === null ? null : `${value as string}`));
    expect(type === 'float8' ? asText.map((v) => (v === null ? v : Number(v))) : asText).toEqual(
      type === 'float8' ? values : wanted,
    );
    for (const value of values) expect(await read(type, write([value]))).toHaveLength(1);
  });

  it.each(CASES)('of %s may be empty, or all nulls', async (type, write) => {
    expect(await read(type, write([]))).toEqual([]);
    expect(await read(type, write([null, null]))).toEqual([null, null]);
  });

  it('of half a character hold the sign for it, as its text would', async () => {
    expect(await read('text', texts(['a\ud800b']))).toEqual(['a\ufffdb']);
  });

  it('of text with a NUL are refused as its text would be', async () => {
    await expect(read('text', texts(['a\0b']))).rejects.toMatchObject({ code: '22021' });
  });
});

it.each(CASES)('of %s are read by the tests as they were written', (type, write, values) => {
  const wanted = values.map((value) => (type === 'uuid' && value ? UUID.replaceAll('-', '') : value));
  expect(decodeArray(write(values))).toEqual(wanted);
});
