import { Inject, Injectable, Module, Scope } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Step,
  Workflow,
  WorkflowContext,
  WorkflowError,
  currentStep,
  defineEvent,
  type WorkflowHandler,
} from 'nestjs-workflow';
import { Bench, FRESH, MODES, later, redeploy } from './support.js';

const Go = defineEvent<string>('go');

/** What was executed, by run. */
const executed: string[] = [];
const note = (what: string): void => void executed.push(`${currentStep().runId} ${what}`);
const executedIn = (runId: string): string[] =>
  executed.filter((line) => line.startsWith(runId)).map((line) => line.slice(runId.length + 1));

@Injectable()
class Flights {
  readonly #prices = new Map([['Oslo', 7]]);

  @Step()
  async price(city: string): Promise<number> {
    note(`price ${city}`);
    return this.#prices.get(city) ?? 0;
  }
  @Step()
  async book(city: string): Promise<string> {
    note(`book ${city}`);
    // a step that is called by a step is a part of it
    return `${city} for ${await this.price(city)}`;
  }
  @Step({ name: 'flights/cancel', key: (city: string) => city })
  async cancel(city: string): Promise<string> {
    note(`cancel ${city}`);
    return currentStep().step;
  }
}

class BaseSteps {
  @Step()
  async greet(name: string): Promise<string> {
    note(`base ${name}`);
    return `Hello ${name}`;
  }
}

@Injectable()
class DecoratedSteps extends BaseSteps {
  @Step()
  override async greet(name: string): Promise<string> {
    note(`decorated ${name}`);
    return `${await super.greet(name)}!`;
  }
}

@Injectable()
class PlainSteps extends BaseSteps {
  override async greet(name: string): Promise<string> {
    return `${await super.greet(name)}?`;
  }
}

@Workflow({ name: 'stepping', retries: 0 })
class Stepping {
  readonly #own = 'own';
  constructor(
    private readonly flights: Flights,
    private readonly decorated: DecoratedSteps,
    private readonly plain: PlainSteps,
  ) {}

  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    const booked = await this.flights.book('Oslo');
    const greeted = [await this.decorated.greet('a'), await this.plain.greet('b')];
    const [own, ...cancelled] = await Promise.all([
      this.private(),
      ...['x', 'y', 'x'].map((city) => this.flights.cancel(city)),
    ]);
    await ctx.waitForEvent('wait', Go(ctx.runId));
    return { booked, greeted, own, cancelled, last: await this.flights.price('Oslo') };
  }

  @Step()
  async private(): Promise<string> {
    note('private');
    return this.#own;
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  static made = 0;
  readonly id = ++PerRequest.made;
  @Step()
  async who(): Promise<boolean> {
    note('who');
    return this instanceof PerRequest && this.id > 0;
  }
}

@Workflow({ name: 'per-request', retries: 0 })
class RequestScoped {
  constructor(private readonly steps: PerRequest) {}
  async run(ctx: WorkflowContext<void>): Promise<unknown> {
    const one = await this.steps.who();
    await ctx.waitForEvent('wait', Go(ctx.runId));
    return [one, await this.steps.who()];
  }
}

class Made implements WorkflowHandler<void, string> {
  constructor(private readonly from: string) {}
  async run(ctx: WorkflowContext<void>): Promise<string> {
    await ctx.run('step', () => 1);
    return this.from;
  }
}
@Workflow({ name: 'by-factory', retries: 0 })
class ByFactory extends Made {}
@Workflow({ name: 'by-value', retries: 0 })
class ByValue extends Made {}
@Workflow({ name: 'by-class', retries: 0 })
class ByClass extends Made {
  constructor(@Inject('FROM') from: string) {
    super(from);
  }
}
abstract class Token {}

@Module({ providers: [{ provide: 'FROM', useValue: 'class' }], exports: ['FROM'] })
class FromModule {}

describe.each(MODES)('steps: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode, {
      imports: [FromModule],
      providers: [
        Flights,
        DecoratedSteps,
        PlainSteps,
        Stepping,
        PerRequest,
        RequestScoped,
        { provide: ByFactory, useFactory: () => new ByFactory('factory') },
        { provide: 'a value', useValue: new ByValue('value') },
        { provide: Token, useClass: ByClass },
      ],
    });
  });
  afterAll(() => bench.dispose());
  const waitedFor = async (runId: string): Promise<void> => {
    while ((await bench.client.getWaiters(Go(runId))).length === 0) {
      const { status } = await bench.client.get(runId);
      if (status === 'failed' || status === 'completed') throw new Error(`The run is ${status}`);
      await later(5);
    }
  };

  it('each is executed once, whatever class it comes from, and keeps its this and its private fields', async () => {
    const run = await bench.client.trigger(Stepping, 'x');
    await waitedFor(run.runId);
    await run.notify(Go(run.runId), 'on');
    expect(await run.result({ timeout: '20s' })).toEqual({
      booked: 'Oslo for 7',
      greeted: ['Hello a!', 'Hello b?'],
      own: 'own',
      cancelled: ['flights/cancel:x', 'flights/cancel:y', 'flights/cancel:x#2'],
      last: 7,
    });
    expect(executedIn(run.runId).toSorted()).toEqual([
      'base a',
      'base b',
      'book Oslo',
      'cancel x',
      'cancel x',
      'cancel y',
      'decorated a',
      'price Oslo',
      'price Oslo',
      'private',
    ]);
    const keys = (await bench.client.journal(run.runId)).map(({ key }) => key);
    expect(keys.toSorted()).toEqual([
      'BaseSteps.greet',
      'DecoratedSteps.greet',
      'Flights.book',
      'Flights.price',
      'Stepping.private',
      'flights/cancel:x',
      'flights/cancel:x#2',
      'flights/cancel:y',
      'wait',
    ]);
  });

  it('called outside a run it is a plain call, without a step around it', async () => {
    const flights = bench.app.get(Flights);
    const error = await flights.price('Oslo').catch((thrown: unknown) => thrown);
    expect(WorkflowError.is(error, 'WF_NO_STEP')).toBe(true);
    const run = await bench.start((ctx) => ctx.run('callback', () => flights.price('Oslo')));
    expect(await run.result()).toBe(7);
    expect((await run.journal()).map(({ key }) => key)).toEqual(['callback']);
  });

  it('a request-scoped workflow gets instances of its own, also of its services', async () => {
    const made = PerRequest.made;
    const runs = await Promise.all([
      bench.client.trigger(RequestScoped),
      bench.client.trigger(RequestScoped),
    ]);
    for (const run of runs) {
      await waitedFor(run.runId);
      await run.notify(Go(run.runId), 'on');
      expect(await run.result({ timeout: '20s' })).toEqual([true, true]);
      expect(executedIn(run.runId)).toEqual(['who', 'who']);
    }
    expect(PerRequest.made - made).toBeGreaterThanOrEqual(2);
  });

  it('a workflow may be provided by a factory, a value, or a class behind another token', async () => {
    const results = [];
    for (const type of [ByFactory, ByValue, ByClass]) {
      results.push(await (await bench.client.trigger(type)).result({ timeout: '20s' }));
    }
    expect(results).toEqual(['factory', 'value', 'class']);
  });
});

describe('a step that replay finds called with other arguments', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(FRESH, { providers: [Flights] });
  });
  afterAll(() => bench.dispose());

  it('gives its recorded answer, and the change is warned of', async () => {
    const flights = bench.app.get(Flights);
    const code =
      (city: string) =>
      async (ctx: WorkflowContext<any>): Promise<unknown> => {
        const booked = await flights.book(city);
        await ctx.waitForEvent('wait', Go(ctx.runId));
        return booked;
      };
    const run = await bench.start(code('Oslo'));
    await run.waitsFor('wait');
    const warning = `Step "Flights.book" of run ${run.runId} is called with other arguments`;
    expect(bench.linesWith(warning)).toEqual([]);
    redeploy(run.runId, code('Rome'));
    await run.handle.notify(Go(run.runId), 'on');
    expect(await run.result()).toBe('Oslo for 7');
    expect(bench.linesWith(warning)).toHaveLength(1);
    expect(executedIn(run.runId)).toEqual(['book Oslo', 'price Oslo']);
  });

  it('is not warned of when they are equal, or cannot be compared', async () => {
    const flights: { price(city: unknown): Promise<number> } = bench.app.get(Flights);
    const run = await bench.start(async (ctx) => {
      const prices = [await flights.price({ deep: [new Date(0), 1n] }), await flights.price(() => 1)];
      await ctx.waitForEvent('wait', Go(ctx.runId));
      return prices;
    });
    await run.waitsFor('wait');
    await run.handle.notify(Go(run.runId), 'on');
    expect(await run.result()).toEqual([0, 0]);
    expect(run.replays).toBeGreaterThan(1);
    expect(bench.linesWith('other arguments').filter((line) => line.includes(run.runId))).toEqual([]);
  });
});
