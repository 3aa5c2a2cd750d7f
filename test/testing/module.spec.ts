import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it, vi } from 'vitest';
import {
  Step,
  StepFailedError,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  type WorkflowHandler,
} from 'nestjs-workflow';
import { WorkflowBench, WorkflowTestingModule } from 'nestjs-workflow/testing';
import { boot, started } from './support.js';

@Injectable()
class Payments {
  @Step({ retries: 2, backoff: { initial: '1m', jitter: false } })
  async capture(amount: number): Promise<string> {
    throw new Error(`a real charge of ${amount}`);
  }
}

@Workflow({ name: 'checkout' })
class Checkout implements WorkflowHandler<number, string> {
  constructor(private readonly payments: Payments) {}

  async run(ctx: WorkflowContext<number>): Promise<string> {
    try {
      const charge = await this.payments.capture(ctx.payload);
      await ctx.sleep('cooling off', '1d');
      return charge;
    } catch (error) {
      return error instanceof StepFailedError ? `failed after ${error.attempts}` : 'not a step';
    }
  }
}

describe('overrideProvider', () => {
  const compile = (double: object) =>
    Test.createTestingModule({
      imports: [WorkflowTestingModule.forRoot()],
      providers: [Checkout, Payments],
    })
      .overrideProvider(Payments)
      .useValue(double)
      .compile();

  it('the double of a step is a step: executed once, however often run is replayed', async () => {
    const capture = vi.fn(async (amount: number) => `fake ${amount}`);
    const double = { capture };
    const { bench, client } = await started(await compile(double));
    const run = await client.trigger(Checkout, 5);
    await bench.advance('2d');
    expect(await run.result()).toBe('fake 5');
    expect(capture.mock.calls).toEqual([[5]]);
    expect(double.capture).toHaveBeenCalledTimes(1);
    expect((await client.journal(run.runId)).map(({ key }) => key)).toEqual([
      'Payments.capture',
      'cooling off',
    ]);
  });

  it('its failures are retried as those of the step it stands for', async () => {
    const capture = vi.fn(async () => {
      throw new Error('declined');
    });
    const { bench, client } = await started(await compile({ capture }));
    const run = await client.trigger(Checkout, 5);
    await bench.untilIdle();
    expect(capture).toHaveBeenCalledTimes(1);
    await bench.advance('1h');
    expect(await run.result()).toBe('failed after 3');
    expect(capture).toHaveBeenCalledTimes(3);
  });

  it('useClass as well', async () => {
    class FakePayments {
      async capture(): Promise<string> {
        return 'by a class';
      }
    }
    const builder = Test.createTestingModule({
      imports: [WorkflowTestingModule.forRoot()],
      providers: [Checkout, Payments],
    });
    const module = await builder.overrideProvider(Payments).useClass(FakePayments).compile();
    const { bench, client } = await started(module);
    const run = await client.trigger(Checkout, 5);
    await bench.advance('1d');
    expect(await run.result()).toBe('by a class');
    expect(await client.journal(run.runId)).toHaveLength(2);
  });

  it('a plain provider that the application itself declares is left as it is', async () => {
    const capture = async (): Promise<string> => 'plain';
    const { bench, client } = await boot([Checkout, { provide: Payments, useValue: { capture } }]);
    const run = await client.trigger(Checkout, 5);
    await bench.advance('1d');
    expect((await client.journal(run.runId)).map(({ key }) => key)).toEqual(['cooling off']);
  });
});

describe('forApp', () => {
  @Module({
    imports: [
      WorkflowModule.forRootAsync({
        isGlobal: true,
        useFactory: () => ({
          database: { url: 'postgres://nobody@localhost:1/nowhere' },
          schema: 'production',
          migrate: false,
          http: { url: 'https://example.com' },
          steps: { retries: 0 },
        }),
      }),
    ],
    providers: [Checkout, Payments],
  })
  class AppModule {}

  it('an application that imports WorkflowModule itself is tested as it is, but for its database and its address', async () => {
    const builder = Test.createTestingModule({ imports: [AppModule, WorkflowTestingModule.forApp()] });
    const failing = {
      capture: async () => {
        throw new Error('no');
      },
    };
    const { bench, client } = await started(
      await builder.overrideProvider(Payments).useValue(failing).compile(),
    );
    const run = await client.trigger(Checkout, 5);
    await bench.advance('1h');
    expect(await run.result()).toBe('failed after 3');
  });

  it('its step defaults hold, unless the test gives others', async () => {
    @Workflow({ name: 'defaults' })
    class Defaults {
      async run(ctx: WorkflowContext): Promise<void> {
        await ctx.run('fails', () => Promise.reject(new Error('no')));
      }
    }
    for (const [options, attempts] of [
      [{}, 1],
      [{ steps: { retries: 1 } }, 2],
    ] as const) {
      const { bench, client } = await started(
        await Test.createTestingModule({
          imports: [AppModule, WorkflowTestingModule.forApp(options)],
          providers: [Defaults],
        }).compile(),
      );
      const run = await client.trigger(Defaults, undefined);
      await bench.advance('1h');
      await expect(run.result()).rejects.toThrow(/no/);
      expect((await client.journal(run.runId))[0]!.attempts).toBe(attempts);
    }
  });
});

describe('without the testing module', () => {
  it('WorkflowBench.of says what to import', async () => {
    const module = await Test.createTestingModule({}).compile();
    expect(() => WorkflowBench.of(module)).toThrow(/WF_NO_BENCH/);
    expect(() => WorkflowBench.of(module)).toThrow(/WorkflowTestingModule\.forRoot\(\)/);
  });

  it('an application that is not initialized, or closed, is refused instead of waited for', async () => {
    const module = await Test.createTestingModule({ imports: [WorkflowTestingModule.forRoot()] }).compile();
    await expect(WorkflowBench.of(module).untilIdle()).rejects.toThrow(/app\.init\(\)/);
    await module.init();
    await WorkflowBench.of(module).untilIdle();
    await module.close();
    await expect(WorkflowBench.of(module).untilIdle()).rejects.toThrow(/was closed/);
  });

  it('url and database are one too many', () => {
    const both = { url: 'postgres://localhost/x', database: { embedded: 'memory' } };
    expect(() => WorkflowTestingModule.forRoot(both)).toThrow(/WF_INVALID_OPTIONS/);
  });

  it('the client is injectable beside forRoot', async () => {
    @Injectable()
    class Starter {
      constructor(readonly client: WorkflowClient) {}
    }
    const { module } = await boot([Starter]);
    expect(module.get(Starter).client).toBe(module.get(WorkflowClient));
  });
});
