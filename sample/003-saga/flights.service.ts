import { Injectable } from '@nestjs/common';
import { Step } from 'nestjs-workflow';
import { Ledger } from './ledger.service.js';

@Injectable()
export class FlightsService {
  constructor(private readonly ledger: Ledger) {}

  @Step()
  async book(trip: string, city: string): Promise<string> {
    await this.ledger.write(trip, 'flight booked');
    return `to ${city}`;
  }

  /** No @Step is needed: `ctx.onRollback` makes one of it. */
  async cancel(trip: string): Promise<void> {
    await this.ledger.cancel(trip, 'flight');
  }
}
