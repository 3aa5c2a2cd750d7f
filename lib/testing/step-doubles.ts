import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { sameStep } from '../authoring/index.js';

/** key of the metadata that @Module leaves on a class */
const PROVIDERS = 'providers';

type Method = (...args: unknown[]) => unknown;
type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/**
 * What `overrideProvider` puts in the place of a class with steps has plain methods of the same names. They are made steps as
 * well: executed once, journaled and retried, and not called again at each replay.
 */
@Injectable()
export class StepDoubles implements OnModuleInit {
  constructor(private readonly discovery: DiscoveryService) {}

  onModuleInit(): void {
    for (const wrapper of this.discovery.getProviders()) {
      const { token } = wrapper;
      if (typeof token !== 'function' || !isOverridden(wrapper) || !wrapper.isDependencyTreeStatic())
        continue;
      const { instance } = wrapper;
      if (typeof instance === 'object' && instance !== null) double(token.prototype, instance);
    }
  }
}

/** Declared as the class itself, and made of something else. A custom provider is what the application runs on, and stays so. */
function isOverridden({ token, metatype, host }: Wrapper): boolean {
  if (metatype === token || !host?.metatype) return false;
  const declared: unknown[] = Reflect.getMetadata(PROVIDERS, host.metatype) ?? [];
  return declared.includes(token);
}

function double(prototype: object, instance: Record<string, unknown>): void {
  for (const method of methodsOf(prototype)) {
    const work = instance[method];
    const original: unknown = Reflect.get(prototype, method);
    if (typeof work !== 'function' || sameStep(work, method, work as Method)) continue;
    const step = sameStep(original, method, work as Method);
    if (!step || !Object.isExtensible(instance)) continue;
    // a mock stays one: what it is asked about its calls goes to the function itself
    const value = new Proxy(work, { apply: (_, self, args) => Reflect.apply(step, self, args) });
    Object.defineProperty(instance, method, { value, writable: true, configurable: true, enumerable: true });
  }
}

function* methodsOf(prototype: object): Generator<string> {
  for (let at = prototype; at && at !== Object.prototype; at = Object.getPrototypeOf(at) as object) {
    for (const name of Object.getOwnPropertyNames(at)) if (name !== 'constructor') yield name;
  }
}
