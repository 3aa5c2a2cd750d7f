import { Injectable } from '@nestjs/common';
import { expectTypeOf } from 'vitest';
import {
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  type PayloadOf,
  type ResultOf,
} from 'nestjs-workflow';

@Injectable()
class Customers {
  @Step() async active(): Promise<string[]> {
    return [];
  }
  @Step({ key: (id: string) => id }) async touch(id: string) {
    return id.length;
  }
}

@Workflow({ name: 'statement' })
class Statement {
  async run(ctx: WorkflowContext<{ id: string }>) {
    return { id: ctx.payload.id, pages: 2 };
  }
}

@Workflow({ name: 'nightly' })
export class Nightly {
  constructor(private readonly customers: Customers) {}

  async run(ctx: WorkflowContext<void>) {
    const ids = await this.customers.active();
    const sent = await Promise.allSettled(ids.map((id) => ctx.trigger(`statement ${id}`, Statement, { id })));
    const touched: number[] = await Promise.all(ids.map((id) => this.customers.touch(id)));
    // @ts-expect-error wrong payload
    await ctx.trigger('wrong', Statement, { id: 1 });
    // @ts-expect-error payload missing
    await ctx.trigger('missing', Statement);
    await ctx.trigger('another night', Nightly, undefined, { delay: '1d' });
    const [pair, first] = await Promise.all([
      ctx.run('pair', async () => [1, 'a'] as const),
      Promise.race([ctx.run('sync too', () => 1n), ctx.sleep('nap', '1.5h')]),
    ]);
    const one: 1 = pair[0];
    const either: bigint | void = first;
    void [one, either];
    return sent.reduce((sum, each) => sum + (each.status === 'fulfilled' ? 1 : 0), 0) + touched.length;
  }
}

@Workflow({ name: 'no-arg' })
export class NoArg {
  async run() {
    return 1;
  }
}

export function fromTheClass() {
  expectTypeOf<PayloadOf<Statement>>().toEqualTypeOf<{ id: string }>();
  expectTypeOf<ResultOf<Statement>>().toEqualTypeOf<{ id: string; pages: number }>();
  expectTypeOf<PayloadOf<Nightly>>().toEqualTypeOf<void>();
  expectTypeOf<ResultOf<Nightly>>().toEqualTypeOf<number>();
}

export async function go(client: WorkflowClient) {
  const total: number = await (await client.trigger(Nightly)).result();
  await client.trigger(Nightly, undefined, { delay: '1h' });
  const one: number = await (await client.trigger(NoArg)).result();
  void [total, one];
}
