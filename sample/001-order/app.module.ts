import { Module } from '@nestjs/common';
import { WorkflowModule } from 'nestjs-workflow';
import { FulfilOrder } from './fulfil-order.workflow.js';
import { OrdersController } from './orders.controller.js';
import { PaymentService } from './payment.service.js';
import { WarehouseService } from './warehouse.service.js';

const url = process.env.DATABASE_URL;

@Module({
  // without a database of its own it keeps its journal in embedded PGlite, in .workflow/
  imports: [WorkflowModule.forRoot(url ? { database: { url } } : {})],
  controllers: [OrdersController],
  providers: [FulfilOrder, PaymentService, WarehouseService],
})
export class AppModule {}
