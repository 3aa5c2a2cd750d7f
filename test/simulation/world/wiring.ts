import 'reflect-metadata';

type Class = abstract new (...args: never[]) => unknown;
type Token = Class | string | symbol;

/** A value, or the class that stands for the token. */
export type Binding = readonly [token: Class, to: { readonly value: unknown } | { readonly type: Class }];

/**
 * Puts the providers of one process together by the same metadata as Nest, in microseconds: a world has dozens of processes, and a
 * run of the simulation thousands of worlds.
 */
export class Wiring {
  readonly #bindings: Map<Token, Binding[1]>;
  readonly #made = new Map<Token, unknown>();

  constructor(bindings: readonly Binding[]) {
    this.#bindings = new Map<Token, Binding[1]>(bindings);
  }

  get<T>(token: abstract new (...args: never[]) => T): T {
    return this.#resolve(token) as T;
  }

  #resolve(token: Token): unknown {
    if (this.#made.has(token)) return this.#made.get(token);
    const bound = this.#bindings.get(token);
    const made =
      bound && 'value' in bound
        ? bound.value
        : this.#make(bound && 'type' in bound ? bound.type : (token as Class));
    this.#made.set(token, made);
    return made;
  }

  #make(type: Class): unknown {
    const types: Token[] = Reflect.getMetadata('design:paramtypes', type) ?? [];
    const named: { index: number; param: Token }[] = Reflect.getOwnMetadata('self:paramtypes', type) ?? [];
    const optional: number[] = Reflect.getOwnMetadata('optional:paramtypes', type) ?? [];
    const args = types.map((given, i) => {
      const token = named.find(({ index }) => index === i)?.param ?? given;
      if (optional.includes(i) && !this.#bindings.has(token)) return undefined;
      if (token === Object) throw new Error(`Parameter ${i} of ${type.name} has no type to inject`);
      return this.#resolve(token);
    });
    return Reflect.construct(type, args);
  }
}
