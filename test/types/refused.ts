import { expectTypeOf } from 'vitest';
import {
  Step,
  Workflow,
  WorkflowContext,
  WorkflowModule,
  currentStep,
  type Duration,
  type FlowControl,
  type RetryOptions,
  type Singleton,
  type StorableRetryOptions,
  type Stored,
} from 'nestjs-workflow';

class Rich {
  total = 1;
  format() {
    return `${this.total}`;
  }
}

export class Steps {
  // @ts-expect-error sync step
  @Step() sync() {
    return 1;
  }
  // @ts-expect-error step returns an object with methods (it would come back without them)
  @Step() async entity() {
    return new Rich();
  }
  // @ts-expect-error the same deep inside
  @Step() async entities() {
    return { page: [{ entity: new Rich() }] };
  }
  // @ts-expect-error a symbol cannot be stored
  @Step() async symbol() {
    return { tag: Symbol('x') };
  }
  // @ts-expect-error a bare number is no duration
  @Step({ timeout: 5 }) async slow() {}
  // @ts-expect-error nor is one with an unknown unit
  @Step({ backoff: { initial: '1 second' } }) async slower() {}
  // @ts-expect-error a mistyped duration is no expression either: that mentions `retried`
  @Step({ retryDelay: '10 sec' }) async later() {}
  // @ts-expect-error a bare number is no delay
  @Step({ retryDelay: 1000 }) async sooner() {}
  // @ts-expect-error a delay is not awaited
  @Step({ retryDelay: async () => 1000 }) async eventually() {}
  @Step({ retryDelay: '10s' }) async constant() {}
  @Step({ retryDelay: 'pow(2, retried) * 1000' }) async grown() {}
  @Step({ retryDelay: (retried, { code }) => (code === 'busy' ? '1h' : retried * 1000) }) async chosen() {}

  @Step() async kept() {
    return {
      map: new Map([['a', new Date()]]),
      set: new Set([1n]),
      maybe: undefined as string | undefined,
      pair: [1, 2] as const,
      bytes: Buffer.from('') as Uint8Array,
      url: new URL('https://example.org'),
      nothing: null,
    };
  }
  @Step() async generic<T extends string>(x: T): Promise<T> {
    return x;
  }
  @Step() async any(): Promise<any> {
    return 1;
  }
  @Step() async unknown(): Promise<unknown> {
    return 1;
  }
  @Step() async nothing(): Promise<void> {}
}

// @ts-expect-error @Workflow needs run
@Workflow({ name: 'x' })
class NoRun {
  go() {
    return 1;
  }
}
// @ts-expect-error run must be async
@Workflow({ name: 'y' })
class SyncRun {
  run() {
    return 1;
  }
}
// @ts-expect-error @Workflow needs a name
@Workflow({})
class NoName {
  async run() {}
}
void [NoRun, SyncRun, NoName];

export async function durations(ctx: WorkflowContext<void>) {
  // @ts-expect-error forgot the name
  await ctx.sleep('1h');
  // @ts-expect-error swapped
  await ctx.sleep('1h', 'cooling off');
  // @ts-expect-error typo in unit
  await ctx.sleep('x', '1hour');
  // @ts-expect-error bare number
  await ctx.sleep('x', 60);
  // @ts-expect-error a wait has a name, too
  await ctx.waitForEvent('paid:1', { timeout: '1h' });
  const all: Duration[] = ['250ms', '30s', '1.5m', '1h', '2d', '1w'];
  for (const duration of all) await ctx.sleep('fine', duration);
  await ctx.sleepUntil('fine', new Date());
  // @ts-expect-error only run can cancel
  currentStep().cancel();
  const gone: never = await ctx.cancel();
  return gone;
}

/** What the codec keeps is itself; what it would not keep is `never`, so that it fits nothing. */
export function stored() {
  type Plain = { a?: string; at: Date; list: [1, bigint]; map: Map<string, Set<URL>>; ro: ReadonlyMap<1, 2> };
  expectTypeOf<Stored<Plain>>().toEqualTypeOf<Plain>();
  expectTypeOf<Stored<any>>().toBeAny();
  expectTypeOf<Stored<unknown>>().toBeUnknown();
  expectTypeOf<Stored<() => void>>().toBeNever();
  expectTypeOf<Stored<symbol>>().toBeNever();
  expectTypeOf<Stored<Rich>['format']>().toBeNever();
}

export function storedPolicies() {
  const constant: StorableRetryOptions = { retries: 2, retryDelay: 'retried * 500' };
  // @ts-expect-error a function cannot be stored
  const chosen: StorableRetryOptions = { retryDelay: () => 5 };
  const both: RetryOptions[] = [constant, chosen];
  return both;
}

WorkflowModule.forRoot();
WorkflowModule.forRoot({ path: 'wf', transport: 'in-process', worker: { pollInterval: '1s' } });
WorkflowModule.forRootAsync({
  path: 'wf',
  inject: ['CFG'],
  useFactory: (config: { url: string }) => ({ database: { url: config.url } }),
});
// @ts-expect-error path shapes the module graph: not from the factory
WorkflowModule.forRootAsync({ useFactory: () => ({ path: 'wf' }) });
// @ts-expect-error no such transport
WorkflowModule.forRoot({ transport: 'carrier pigeon' });

export function limits(): FlowControl[] {
  return [
    { key: 'a', parallelism: 1 },
    { key: 'b', rate: 1 },
    { key: 'c', rate: 10, period: '1m', parallelism: 2 },
    // @ts-expect-error neither parallelism nor rate
    { key: 'd' },
    // @ts-expect-error a period without a rate
    { key: 'e', parallelism: 1, period: '1m' },
    // @ts-expect-error a bare number is no period
    { key: 'f', rate: 1, period: 60 },
    // @ts-expect-error a key that is a function has nothing to be called with in a trigger
    { key: () => 'g', rate: 1 },
  ];
}

export class Limited {
  @Step({ flowControl: { key: (tenant: string) => tenant, parallelism: 2 } })
  async work(tenant: string) {
    return tenant;
  }
}

@Workflow({
  name: 'limited',
  flowControl: { key: ({ tenant }) => `t-${tenant}`, rate: 5 },
  singleton: { key: ({ tenant }) => `t-${tenant}`, policy: 'queue' },
})
export class LimitedRuns {
  async run(ctx: WorkflowContext<{ tenant: string }>) {
    await ctx.run('work', () => 1, { flowControl: { key: 'steps', rate: 1 } });
    // @ts-expect-error a policy that does not exist
    const wrong: Singleton = { key: 'k', policy: 'replace' };
    return wrong.key;
  }
}
