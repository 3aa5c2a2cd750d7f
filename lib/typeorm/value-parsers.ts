import type { PgModule } from './pglite/driver.js';

const OID = { int8: 20, int4: 23, timestamptz: 1184 } as const;
const ISO = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d)(?::?(\d\d))?$/;

function parseTimestamp(text: string): Date | number | undefined {
  if (text === 'infinity') return Infinity;
  if (text === '-infinity') return -Infinity;
  const match = ISO.exec(text);
  return match ? new Date(`${match[1]}T${match[2]}${match[3]}:${match[4] ?? '00'}`) : undefined;
}

/**
 * How values come back on the connections of this library: int8 as a string, timestamptz as a Date (`infinity` as
 * Infinity), whatever the application has told `pg.types` and `pg.defaults.parseInt8`, which are one for the process.
 */
export function valueParsers(types: PgModule['types']): {
  getTypeParser: PgModule['types']['getTypeParser'];
} {
  const getTypeParser = (oid: number, format?: string): unknown => {
    if (format !== 'binary') {
      if (oid === OID.int8) return (text: string) => text;
      if (oid === OID.int4) return Number;
      if (oid === OID.timestamptz) {
        const rare = types.getTypeParser(oid, 'text') as (text: string) => unknown; // before Christ, seconds in the offset
        return (text: string) => parseTimestamp(text) ?? rare(text);
      }
    }
    return types.getTypeParser(oid, format as 'text');
  };
  return { getTypeParser: getTypeParser as PgModule['types']['getTypeParser'] };
}
