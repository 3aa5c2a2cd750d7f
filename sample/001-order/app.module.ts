import { Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { WorkflowModule } from 'nestjs-workflow';
import { FulfilOrder } from './fulfil-order.workflow.js';
import { OrdersController } from './orders.controller.js';
import { PaymentService } from './payment.service.js';
import { WarehouseService } from './warehouse.service.js';
import { WorkflowErrorFilter } from './workflow-error.filter.js';

const url = process.env.DATABASE_URL;

@Module({
  // without a database of its own it keeps its journal in embedded PGlite, in .workflow/
  imports: [WorkflowModule.forRoot(url ? { database: { url } } : {})],
  controllers: [OrdersController],
  providers: [
    FulfilOrder,
    PaymentService,
    WarehouseService,
    { provide: APP_FILTER, useClass: WorkflowErrorFilter },
  ],
})
export class AppModule {}
