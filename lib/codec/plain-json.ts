/** Nesting above which a value is refused: codec and JSON recurse, and the stack must hold in any caller. */
export const MAX_DEPTH = 1000;

/**
 * True when JSON text keeps the value whole: strings, finite numbers except -0, booleans, null, arrays without holes,
 * plain and null-prototype objects. False for anything else, and for what JSON would write twice or never end writing:
 * shared references and cycles. Getters are read; one that throws gives false.
 */
export function isPlainJson(value: unknown): boolean {
  try {
    return isPlain(value, undefined, 0);
  } catch {
    return false;
  }
}

/** @param seen the objects before this one; undefined for the outermost, as most hold no other */
function isPlain(value: unknown, seen: Set<object> | undefined, depth: number): boolean {
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

function isPlainObject(value: object, outer: Set<object> | undefined, depth: number): boolean {
  if (depth >= MAX_DEPTH || outer?.has(value)) return false;
  outer?.add(value);
  let seen = outer;
  const holds = (item: unknown): boolean => {
    if (typeof item === 'object' && item !== null) seen ??= new Set([value]);
    return isPlain(item, seen, depth + 1);
  };
  if (Array.isArray(value)) {
    // JSON.stringify would call it instead of writing the items
    if ('toJSON' in value) return false;
    // by index, so that holes show up as undefined
    for (let i = 0; i < value.length; i++) if (!holds(value[i])) return false;
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  if ('toJSON' in value || Object.getOwnPropertySymbols(value).length > 0) return false;
  for (const key of Object.keys(value)) {
    if (key === '__proto__' || !holds((value as Record<string, unknown>)[key])) return false;
  }
  return true;
}
