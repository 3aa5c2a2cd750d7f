/** Nesting above which a value is refused: codec and JSON recurse, and the stack must hold in any caller. */
export const MAX_DEPTH = 1000;

/**
 * True when JSON text keeps the value whole: strings, finite numbers except -0, booleans, null, arrays without holes,
 * plain and null-prototype objects. False for anything else, and for what JSON would write twice or never end writing:
 * shared references and cycles. Getters are read; one that throws gives false.
 */
export function isPlainJson(value: unknown): boolean {
  try {
    return isPlain(value, new Set(), 0);
  } catch {
    return false;
  }
}

function isPlain(value: unknown, seen: Set<object>, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    case 'object':
      return value === null || isPlainObject(value, seen, depth);
    default:
      return false;
  }
}

function isPlainObject(value: object, seen: Set<object>, depth: number): boolean {
  if (depth >= MAX_DEPTH || seen.has(value)) return false;
  seen.add(value);
  if (Array.isArray(value)) {
    // JSON.stringify would call it instead of writing the items
    if ('toJSON' in value) return false;
    // by index, so that holes show up as undefined
    for (let i = 0; i < value.length; i++) if (!isPlain(value[i], seen, depth + 1)) return false;
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  if ('toJSON' in value || Object.getOwnPropertySymbols(value).length > 0) return false;
  for (const key of Object.keys(value)) {
    if (key === '__proto__' || !isPlain((value as Record<string, unknown>)[key], seen, depth + 1))
      return false;
  }
  return true;
}
