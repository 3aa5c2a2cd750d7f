import { Injectable, Logger } from '@nestjs/common';
import { Step } from 'nestjs-workflow';
import type { Order } from './order.js';

@Injectable()
export class WarehouseService {
  private readonly logger = new Logger(WarehouseService.name);

  @Step()
  async reserve(order: Order): Promise<void> {
    this.logger.log(`${order.items.length} items reserved for order ${order.id}`);
  }

  @Step()
  async release(order: Order): Promise<void> {
    this.logger.log(`the items of order ${order.id} are free again`);
  }

  @Step()
  async pack(order: Order): Promise<{ id: string }> {
    this.logger.log(`packing ${order.items.join(', ')}`);
    return { id: `parcel-${order.id}` };
  }

  @Step()
  async printLabel(address: string): Promise<string> {
    this.logger.log(`label printed for ${address}`);
    return `To: ${address}`;
  }
}
