import { types } from 'node:util';
import { MAX_DEPTH } from './plain-json.js';

/** Why a value cannot be stored; `path` leads to the place inside it, and is empty for the value itself. */
export class NotStorable extends Error {
  constructor(
    readonly path: string,
    problem: string,
    options?: { cause?: unknown },
  ) {
    super(`${path === '' ? 'it' : path} ${problem}`, options);
  }
}

/** What is stored of an Error, marked so that the codec can tell it from an object of the same shape. */
export class StoredError {
  constructor(readonly fields: { name: unknown; message: unknown; code?: unknown; cause?: unknown }) {}
}

/**
 * A copy of a value that holds only what devalue writes, with the same cycles and shared references:
 * - class instances and null-prototype objects become plain objects of their own enumerable properties
 * - views on a buffer (typed arrays, Buffers) become their own bytes: the buffer behind them may be a shared pool
 * - Errors become `StoredError`
 *
 * Each property is read once, so a getter cannot answer differently when the text is written.
 * @throws NotStorable with the path of the first function, symbol, Promise, stream, … in it
 */
export function toStorable(value: unknown): unknown {
  return new Copier().copy(value, '');
}

class Copier {
  private readonly copies = new Map<object, unknown>();
  /** errors that are being copied: devalue revives an Error after its parts, so none can be a part of itself */
  private readonly open = new Set<object>();
  private depth = 0;

  copy(value: unknown, path: string): unknown {
    if (typeof value === 'function') throw new NotStorable(path, 'is a function');
    if (typeof value === 'symbol') throw new NotStorable(path, 'is a symbol');
    if (typeof value !== 'object' || value === null) return value;
    if (this.open.has(value)) throw new NotStorable(path, 'is an Error that contains itself');
    if (this.copies.has(value)) return this.copies.get(value);
    if (this.depth >= MAX_DEPTH)
      throw new NotStorable(`${path.slice(0, 200)}…`, `is nested more than ${MAX_DEPTH} levels deep`);
    this.depth++;
    const copy = this.copyObject(value, path);
    this.depth--;
    return copy;
  }

  private copyObject(value: object, path: string): unknown {
    if (Array.isArray(value)) return this.copyArray(value, path);
    if (types.isMap(value)) return this.copyMap(value, path);
    if (types.isSet(value)) return this.copySet(value, path);
    if (types.isNativeError(value) || value instanceof Error) return this.copyError(value, path);
    const leaf = copyLeaf(value);
    if (leaf !== undefined) return this.keep(value, leaf);
    refuseLive(value, path);
    return this.copyProperties(value, path);
  }

  private copyArray(value: readonly unknown[], path: string): unknown[] {
    const copy: unknown[] = this.keep(value, []);
    // keys instead of a count: a sparse array may be very long; the other keys are names, which arrays do not store
    for (const key of Object.keys(value)) {
      const index = Number(key);
      if (String(index) === key && index < value.length && index >= 0 && Number.isInteger(index)) {
        copy[index] = this.copy(read(value, key, path), `${path}[${key}]`);
      }
    }
    copy.length = value.length;
    return copy;
  }

  private copyMap(value: ReadonlyMap<unknown, unknown>, path: string): Map<unknown, unknown> {
    const copy = this.keep(value, new Map<unknown, unknown>());
    let i = 0;
    for (const [key, item] of value) {
      const name = typeof key === 'string' ? JSON.stringify(key) : `key ${i}`;
      copy.set(this.copy(key, `${path}.keys()[${i}]`), this.copy(item, `${path}.get(${name})`));
      i++;
    }
    return copy;
  }

  private copySet(value: ReadonlySet<unknown>, path: string): Set<unknown> {
    const copy = this.keep(value, new Set<unknown>());
    let i = 0;
    for (const item of value) copy.add(this.copy(item, `${path}.values()[${i++}]`));
    return copy;
  }

  private copyError(value: object, path: string): StoredError {
    this.open.add(value);
    const part = (key: string): unknown => this.copy(read(value, key, path), `${path}.${key}`);
    const code = part('code');
    const copy = new StoredError({
      name: part('name'),
      message: part('message'),
      ...(code !== undefined && { code }),
      ...(Object.hasOwn(value, 'cause') && { cause: part('cause') }),
    });
    this.open.delete(value);
    return this.keep(value, copy);
  }

  private copyProperties(value: object, path: string): Record<string, unknown> {
    const copy: Record<string, unknown> = this.keep(value, {});
    for (const key of Object.keys(value)) {
      // kept, it would be one careless Object.assign away from changing a prototype
      if (key === '__proto__') throw new NotStorable(path, 'has a property named "__proto__"');
      copy[key] = this.copy(read(value, key, path), path + step(key));
    }
    return copy;
  }

  /** Before the parts are copied: a part may lead back here. */
  private keep<T>(value: object, copy: T): T {
    this.copies.set(value, copy);
    return copy;
  }
}

/** Copies of the objects without parts; undefined for others. `types` sees through realms and is not fooled by tags. */
function copyLeaf(value: object): unknown {
  if (types.isDate(value)) return new Date(value.getTime());
  if (types.isRegExp(value)) return new RegExp(value.source, value.flags);
  if (value instanceof URL) return new URL(value);
  if (value instanceof URLSearchParams) return new URLSearchParams(value);
  if (types.isArrayBuffer(value)) return value.slice(0);
  if (ArrayBuffer.isView(value)) return copyView(value);
  if (types.isBoxedPrimitive(value)) return value.valueOf();
  return undefined;
}

function copyView(view: ArrayBufferView): unknown {
  const bytes = Uint8Array.from(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  if (Buffer.isBuffer(view)) return Buffer.from(bytes.buffer);
  if (types.isUint8Array(view)) return bytes;
  const type = Object.prototype.toString.call(view).slice(8, -1) as 'DataView';
  return new globalThis[type](bytes.buffer);
}

/** Things that live and cannot be written down, which would otherwise become empty or useless objects. */
function refuseLive(value: object, path: string): void {
  if (typeof read(value, 'then', path) === 'function')
    throw new NotStorable(path, 'is a Promise; await it first');
  if (typeof read(value, 'pipe', path) === 'function')
    throw new NotStorable(path, 'is a stream; read it first');
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) {
    const symbol = Object.getOwnPropertySymbols(value).find((one) =>
      Object.prototype.propertyIsEnumerable.call(value, one),
    );
    if (symbol !== undefined)
      throw new NotStorable(path, `has a property named by a symbol, ${String(symbol)}`);
    return;
  }
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag !== 'Object' && Object.keys(value).length === 0)
    throw new NotStorable(path, `is an object of type ${tag}, which is no plain data`);
}

function read(from: object, key: string, path: string): unknown {
  try {
    return (from as Record<string, unknown>)[key];
  } catch (cause) {
    throw new NotStorable(path + step(key), 'could not be read: its getter threw', { cause });
  }
}

function step(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}
