import { BadRequestException, Body, Controller, Get, Param, Post } from '@nestjs/common';
import { WorkflowClient, type NotifyResult } from 'nestjs-workflow';
import { FulfilOrder } from './fulfil-order.workflow.js';
import type { Order, Receipt } from './order.js';
import { Payment } from './payment.service.js';

@Controller('orders')
export class OrdersController {
  constructor(private readonly workflows: WorkflowClient) {}

  /** Sent twice, the same order is fulfilled once: the run has its id. */
  @Post()
  async place(@Body() order: Order): Promise<{ id: string; created: boolean }> {
    if (!order?.id) throw new BadRequestException('An order needs an id');
    const run = await this.workflows.trigger(FulfilOrder, order, { runId: order.id });
    return { id: run.runId, created: run.created };
  }

  @Post(':id/payment')
  pay(@Param('id') id: string, @Body() payment: { amount: number }): Promise<NotifyResult> {
    return this.workflows.run(FulfilOrder, id).notify(Payment(id), { amount: payment.amount });
  }

  @Get(':id')
  async get(@Param('id') id: string): Promise<{ status: string; receipt?: Receipt; error?: string }> {
    const run = await this.workflows.run(FulfilOrder, id).get();
    if (run.status === 'completed') return { status: run.status, receipt: run.result };
    if (run.status === 'failed') return { status: run.status, error: run.error.message };
    return { status: run.status };
  }
}
