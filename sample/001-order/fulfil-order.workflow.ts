import {
  NonRetryableError,
  OnFailure,
  Workflow,
  type FailureContext,
  type WorkflowContext,
  type WorkflowHandler,
} from 'nestjs-workflow';
import type { Order, Receipt } from './order.js';
import { Payment, PaymentService } from './payment.service.js';
import { WarehouseService } from './warehouse.service.js';

@Workflow({ name: 'fulfil-order' })
export class FulfilOrder implements WorkflowHandler<Order, Receipt> {
  constructor(
    private readonly payments: PaymentService,
    private readonly warehouse: WarehouseService,
  ) {}

  async run(ctx: WorkflowContext<Order>): Promise<Receipt> {
    const order = ctx.payload;
    await this.warehouse.reserve(order);

    const paid = await ctx.waitForEvent('payment', Payment(order.id), { timeout: '2d' });
    if (paid.timedOut) throw new NonRetryableError('never paid');
    const charge = await this.payments.charge(order, paid.data.amount);

    const [parcel, label] = await Promise.all([
      this.warehouse.pack(order),
      this.warehouse.printLabel(order.address),
    ]);

    await ctx.sleep('until the van comes', '10s');
    return { chargeId: charge.id, parcelId: parcel.id, label };
  }

  @OnFailure()
  async onFailure(ctx: FailureContext<Order>): Promise<void> {
    ctx.logger.warn(`order ${ctx.payload.id} failed: ${ctx.error.message}`);
    await this.warehouse.release(ctx.payload);
  }
}
