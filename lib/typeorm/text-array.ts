export type ArrayItem = string | number | boolean | bigint | null;

/** An array of such items, as PostgreSQL reads it from text. https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
export const textArray = (items: readonly ArrayItem[]): string => `{${items.map(itemOf).join(',')}}`;

const itemOf = (item: ArrayItem): string => {
  if (item === null) return 'NULL';
  return typeof item === 'string'
    ? `"${item.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
    : String(item);
};

export const isTextArray = (value: unknown): value is readonly ArrayItem[] =>
  Array.isArray(value) && value.every((item) => item === null || isPlain(typeof item));

const isPlain = (type: string): boolean =>
  type === 'string' || type === 'number' || type === 'boolean' || type === 'bigint';
