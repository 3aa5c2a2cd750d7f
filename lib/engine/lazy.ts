/**
 * A set that is made when something is put into it. A run has a dozen of them of which most stay empty, and an empty `Set` is 200
 * bytes that a collector copies twice for each run under way.
 */
export class LazySet<T> {
  #set: Set<T> | undefined;

  get size(): number {
    return this.#set?.size ?? 0;
  }
  add(value: T): void {
    (this.#set ??= new Set()).add(value);
  }
  has(value: T): boolean {
    return this.#set !== undefined && this.#set.has(value);
  }
  delete(value: T): void {
    this.#set?.delete(value);
  }
  clear(): void {
    this.#set?.clear();
  }
  /** As they were added. */
  values(): Iterable<T> {
    return this.#set ?? [];
  }
}

/** The same of a map. */
export class LazyMap<K, V> {
  #map: Map<K, V> | undefined;

  get size(): number {
    return this.#map?.size ?? 0;
  }
  get(key: K): V | undefined {
    return this.#map?.get(key);
  }
  set(key: K, value: V): void {
    (this.#map ??= new Map()).set(key, value);
  }
  has(key: K): boolean {
    return this.#map !== undefined && this.#map.has(key);
  }
  delete(key: K): void {
    this.#map?.delete(key);
  }
  clear(): void {
    this.#map?.clear();
  }
  /** As their keys were set first. */
  values(): Iterable<V> {
    return this.#map?.values() ?? [];
  }
  entries(): Iterable<[K, V]> {
    return this.#map ?? [];
  }
}
