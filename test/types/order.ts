import { Body, Controller, Get, Injectable, Module, Param, Post } from '@nestjs/common';
import { InjectDataSource, TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import {
  FailureContext,
  OnFailure,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  currentStep,
  defineEvent,
  type WorkflowHandler,
} from 'nestjs-workflow';

export interface Order {
  id: string;
  total: number;
  placedAt: Date;
}
export interface Receipt {
  chargeId: string;
  shippedAt: Date;
}
export const Paid = defineEvent<{ amount: number; ref: string }>('paid');

@Injectable()
export class PaymentService {
  @Step({ retries: 5, timeout: '30s' })
  async reserve(order: Order) {
    const { signal, idempotencyKey } = currentStep();
    await fetch('https://psp', { signal, headers: { 'idempotency-key': idempotencyKey } });
    return { chargeId: `c${order.id}`, at: new Date() };
  }
  @Step()
  async refund(chargeId: string): Promise<void> {
    void chargeId;
  }
}

@Workflow({ name: 'fulfil-order' })
export class FulfilOrder implements WorkflowHandler<Order, Receipt> {
  constructor(private readonly payments: PaymentService) {}

  async run(ctx: WorkflowContext<Order>): Promise<Receipt> {
    const charge = await this.payments.reserve(ctx.payload);
    const paid = await ctx.waitForEvent('payment', Paid(ctx.payload.id), { timeout: '2d' });
    // @ts-expect-error it may have timed out
    const early: number = paid.data.amount;
    if (paid.timedOut) {
      const nothing: undefined = paid.data;
      await this.payments.refund(charge.chargeId);
      throw new Error(`unpaid ${nothing}`);
    }
    const amount: number = paid.data.amount;
    const other = await ctx.waitForEvent<{ a: 1 }>('other', 'x:1');
    const one: 1 = other.data.a; // no timeout, no union
    const never: false = other.timedOut;
    const unknown: unknown = (await ctx.waitForEvent('third', 'x:2')).data;
    const at: Date = charge.at;
    void [early, amount, one, never, unknown, at];
    return { chargeId: charge.chargeId, shippedAt: await this.ship(ctx.payload) };
  }

  @Step()
  async ship(order: Order) {
    return order.placedAt;
  }

  @OnFailure()
  async failed(ctx: FailureContext<Order>) {
    const step: string | undefined = ctx.failedStep;
    ctx.logger.error(`${ctx.error.code} ${ctx.payload.id} ${step}`);
  }
}

@Controller('orders')
export class Orders {
  constructor(
    private readonly workflows: WorkflowClient,
    @InjectDataSource() private readonly source: DataSource,
  ) {}

  @Post()
  async place(@Body() order: Order) {
    return this.source.transaction(async (manager) => {
      const runId = `fulfil-order:${order.id}`;
      const run = await this.workflows.trigger(FulfilOrder, order, { runId, manager });
      return { id: run.runId, created: run.created };
    });
  }
  @Post(':id/paid')
  paid(@Param('id') id: string) {
    const run = this.workflows.run(FulfilOrder, `fulfil-order:${id}`);
    return run.notify(Paid(id), { amount: 1, ref: 'r' });
  }
  @Get(':id')
  async get(@Param('id') id: string) {
    const run = await this.workflows.run(FulfilOrder, id).get();
    // @ts-expect-error only a completed run has a result
    void run.result;
    const payload: Order = run.payload;
    void payload;
    switch (run.status) {
      case 'completed':
        return run.result.chargeId;
      case 'failed':
        return run.error.step;
      case 'cancelled':
        return run.finishedAt.toISOString();
      default:
        return run.stuck ?? run.status;
    }
  }
}

@Module({
  imports: [TypeOrmModule.forRoot({ type: 'postgres', url: 'x' }), WorkflowModule.forRoot()],
  providers: [FulfilOrder, PaymentService],
  controllers: [Orders],
})
export class AppModule {}

export async function use(client: WorkflowClient, order: Order) {
  const run = await client.trigger(FulfilOrder, order);
  const receipt: Receipt = await run.result({ timeout: '10s' });
  void receipt;
  // @ts-expect-error wrong payload
  await client.trigger(FulfilOrder, { id: 1 });
  // @ts-expect-error payload missing
  await client.trigger(FulfilOrder);
  // @ts-expect-error not a workflow
  await client.trigger(PaymentService, order);
  // @ts-expect-error notify with another payload than the token's
  await client.notify(Paid('1'), { amount: 'x' });
  // @ts-expect-error the same on a handle
  await run.notify(Paid('1'), { amount: 'x' });
  // @ts-expect-error bare number duration
  await client.trigger(FulfilOrder, order, { delay: 5 });
  // @ts-expect-error result is Receipt
  const wrong: number = await run.result();
  void wrong;
  const unnamed = await client.trigger('by-name', { a: 1 });
  const unknown: unknown = await unnamed.result();
  // @ts-expect-error unknown by name
  const known: Receipt = await unnamed.result();
  void [unknown, known];
  const handles = await client.triggerMany(FulfilOrder, [{ payload: order, runId: '1' }]);
  const many: Receipt = await handles[0]!.result();
  void many;
  // @ts-expect-error one of many with a wrong payload
  await client.triggerMany(FulfilOrder, [{ payload: order }, { payload: { id: 1 } }]);
}
