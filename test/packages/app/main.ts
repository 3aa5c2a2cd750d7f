import 'reflect-metadata';
import { Body, Controller, Get, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { WorkflowClient, WorkflowModule, WorkflowScheduler } from 'nestjs-workflow';
import { Paid, PlaceOrder, PrintLabel, Warehouse, type Order } from './order.js';

const [adapter, folder] = process.argv.slice(2);
const url = process.env['DATABASE_URL'];

/** An entity of the application's own, in the DataSource that the module takes its connection from. */
@Entity('note')
class Note {
  @PrimaryColumn('text') id!: string;
  @Column('text') text!: string;
}

@Controller('orders')
class OrdersController {
  constructor(private readonly workflows: WorkflowClient) {}

  @Post(':id') async place(@Param('id') id: string, @Body() order: Order) {
    const run = await this.workflows.trigger(PlaceOrder, order, { runId: id });
    return { id: run.runId };
  }
  @Get(':id') show(@Param('id') id: string) {
    return this.workflows.get(id);
  }
}

const worker = { heartbeat: '200ms', leaseTimeout: '1s' } as const;
@Module({
  imports: url
    ? [
        TypeOrmModule.forRoot({ type: 'postgres', url, entities: [Note], synchronize: true }),
        WorkflowModule.forRoot({ worker }),
      ]
    : [WorkflowModule.forRoot({ worker, database: { embedded: folder! } })],
  controllers: [OrdersController],
  providers: [PlaceOrder, PrintLabel, Warehouse],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(
    AppModule,
    adapter === 'fastify' ? new FastifyAdapter() : new ExpressAdapter(),
    { logger: ['error', 'warn'], abortOnError: false },
  );
  await app.listen(0, '127.0.0.1');
  const orders = `${await app.getUrl()}/orders/order-1`;
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ items: ['glass', 'book'] });
  const answer = await fetch(orders, { method: 'POST', headers, body });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  const run = app.get(WorkflowClient).run(PlaceOrder, 'order-1');
  await run.notify(Paid('order-1'), { amount: 12 });
  const result = await run.result({ timeout: '1m' });
  const { transport } = app.get(WorkflowScheduler);
  const shown = (await (await fetch(orders)).json()) as { status: string };
  await app.close();
  console.log(JSON.stringify({ result, transport, status: shown.status }));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
