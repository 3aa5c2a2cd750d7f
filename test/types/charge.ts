import { expectTypeOf } from 'vitest';
import {
  Workflow,
  WorkflowContext,
  WorkflowModule,
  type CallOptions,
  type CallResponse,
} from 'nestjs-workflow';

@Workflow({ name: 'charge' })
export class Charge {
  async run(ctx: WorkflowContext<{ url: string; token?: string }>) {
    const { url, token } = ctx.payload;
    const untyped = await ctx.call('look', { url });
    expectTypeOf(untyped).toEqualTypeOf<CallResponse>();
    expectTypeOf(untyped.body).toBeUnknown();
    const charge = await ctx.call<{ id: string }>('charge', {
      url: new URL(url),
      method: 'POST',
      headers: { authorization: token },
      body: { amount: 5 },
      timeout: '12h',
      throwOnError: true,
      redirect: 'manual',
      retries: 2,
      retryDelay: 'pow(2, retried) * 1000',
    });
    expectTypeOf(charge.body.id).toBeString();
    expectTypeOf(charge.headers).toEqualTypeOf<Readonly<Record<string, string>>>();
    const bodies: CallOptions[] = [new URLSearchParams(), Buffer.alloc(1), 'x', [1], 5].map((body) => ({
      url,
      body,
    }));
    await Promise.all(bodies.map((request, i) => ctx.call(`body ${i}`, { ...request, method: 'PUT' })));
    // @ts-expect-error a call has a name
    await ctx.call({ url });
    // @ts-expect-error and a URL
    await ctx.call('no url', { method: 'GET' });
    // @ts-expect-error a header is a text
    await ctx.call('header', { url, headers: { 'x-n': 7 } });
    // @ts-expect-error a bare number is no duration
    await ctx.call('timeout', { url, timeout: 30 });
    // @ts-expect-error the request is stored, and a function cannot be
    await ctx.call('delay', { url, retryDelay: () => 1000 });
    // @ts-expect-error no such way
    await ctx.call('redirect', { url, redirect: 'error' });
    return charge.body.id;
  }
}

WorkflowModule.forRoot({
  http: {
    calls: {
      allow: ['10.1.0.0/16', 'billing.internal'],
      deny: ['10.1.2.3'],
      concurrency: 50,
      timeout: '10m',
    },
  },
});
// @ts-expect-error a bare number is no duration
WorkflowModule.forRoot({ http: { calls: { timeout: 60 } } });
