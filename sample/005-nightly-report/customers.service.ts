import { Injectable } from '@nestjs/common';
import { NonRetryableError, Step, currentStep } from 'nestjs-workflow';

/** Nothing is written for a customer who has left. */
export class AccountClosed extends NonRetryableError {}

const CUSTOMERS = 500;

/** Stands for a table of customers and one of bookings. */
@Injectable()
export class CustomersService {
  @Step()
  async list(): Promise<string[]> {
    return Array.from({ length: CUSTOMERS }, (_, i) => `C${String(i + 1).padStart(4, '0')}`);
  }

  @Step({ retries: 5, backoff: { initial: '100ms' } })
  async turnover(customer: string, day: string): Promise<number> {
    const luck = hash(`${customer} ${day}`);
    if (hash(customer) % 80 === 0) throw new AccountClosed(`${customer} has left`);
    // one in ten is not answered at first
    if (luck % 10 === 0 && currentStep().attempt === 1) throw new Error('the database is busy');
    return luck % 1000;
  }
}

/** FNV-1a: the same number for the same text, in every process. */
function hash(text: string): number {
  let sum = 2166136261;
  for (const byte of Buffer.from(text)) sum = Math.imul(sum ^ byte, 16777619);
  return sum >>> 0;
}
