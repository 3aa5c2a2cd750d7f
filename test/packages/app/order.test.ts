import { Body, Controller, Module, Post } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { WorkflowClient, WorkflowModule } from 'nestjs-workflow';
import { WorkflowBench, WorkflowTestingModule } from 'nestjs-workflow/testing';
import { expect, it } from 'vitest';
import { Paid, PlaceOrder, PrintLabel, Warehouse, type Order } from './order.js';

// As a user writes it, for vitest; matrix.ts makes one for jest of it.

@Controller('orders')
class OrdersController {
  constructor(private readonly workflows: WorkflowClient) {}
  @Post() async place(@Body() order: Order) {
    return { id: (await this.workflows.trigger(PlaceOrder, order, { runId: 'by supertest' })).runId };
  }
}

@Module({
  imports: [WorkflowModule.forRoot()],
  controllers: [OrdersController],
  providers: [PlaceOrder, PrintLabel, Warehouse],
})
class AppModule {}

const DONE = { boxes: ['packed glass', 'packed book'], label: 'label for order-1', paid: 7, shipped: 2 };

it('goes from order to payment on the bench', async () => {
  const module = await Test.createTestingModule({
    imports: [WorkflowTestingModule.forRoot()],
    providers: [PlaceOrder, PrintLabel, Warehouse],
  }).compile();
  const app = await module.init();
  const bench = WorkflowBench.of(app);
  const client = app.get(WorkflowClient);
  const run = await client.trigger(PlaceOrder, { items: ['glass', 'book'] }, { runId: 'order-1' });
  await bench.advance('1m');
  expect((await run.get()).status).toBe('waiting');
  await run.notify(Paid('order-1'), { amount: 7 });
  await bench.crashAndRestart();
  await bench.untilIdle();
  expect(await run.result()).toEqual(DONE);
  await app.close();
}, 120_000);

it('is driven by supertest', async () => {
  // in a variable: this repository does not have it
  const name = 'supertest';
  const { default: request } = await import(/* @vite-ignore */ name);
  const module = await Test.createTestingModule({
    imports: [AppModule, WorkflowTestingModule.forApp()],
  }).compile();
  const app = module.createNestApplication();
  await app.init();
  await request(app.getHttpServer())
    .post('/orders')
    .send({ items: ['book'] })
    .expect(201, { id: 'by supertest' });
  const bench = WorkflowBench.of(app);
  await bench.advance('2h');
  expect(await app.get(WorkflowClient).run(PlaceOrder, 'by supertest').result()).toMatchObject({ paid: 0 });
  await app.close();
}, 120_000);
