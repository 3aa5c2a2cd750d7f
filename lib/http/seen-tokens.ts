/**
 * Remembers which tokens were used, so that an exact replay is refused. Bounded in number: two generations, of which the
 * older is dropped when the younger is full or as old as a token can get. A token is thus remembered at least for
 * `lifetimeMs` unless more than `capacity` come in that time; a replay of one forgotten earlier is still stopped by
 * fence and seq.
 */
export class SeenTokens {
  #younger = new Set<string>();
  #older = new Set<string>();
  #since = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly lifetimeMs: number,
    private readonly capacity = 50_000,
  ) {}

  /** Remembers the token. @returns false when it was seen before */
  add(id: string, nowMs: number): boolean {
    if (this.#younger.size >= this.capacity || nowMs - this.#since >= this.lifetimeMs) {
      this.#older = this.#younger;
      this.#younger = new Set();
      this.#since = nowMs;
    }
    if (this.#younger.has(id) || this.#older.has(id)) return false;
    this.#younger.add(id);
    return true;
  }

  get size(): number {
    return this.#younger.size + this.#older.size;
  }
}
