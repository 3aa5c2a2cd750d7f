import { Injectable } from '@nestjs/common';
import { NonRetryableError, Step, currentStep, defineEvent } from 'nestjs-workflow';
import type { Order } from './order.js';

/** The customer has paid this order. */
export const Payment = defineEvent<{ amount: number }>('payment');

@Injectable()
export class PaymentService {
  @Step({ retries: 5, backoff: { initial: '1s', max: '1m' }, timeout: '30s' })
  async charge(order: Order, amount: number): Promise<{ id: string }> {
    if (amount < order.total) throw new NonRetryableError(`paid ${amount} of ${order.total}`);
    // a payment provider deduplicates by this key: the step may be executed twice, the money moves once
    return { id: `charge-${currentStep().idempotencyKey}` };
  }
}
