import { Injectable } from '@nestjs/common';
import { Step } from 'nestjs-workflow';
import { Ledger } from './ledger.service.js';

@Injectable()
export class CarsService {
  constructor(private readonly ledger: Ledger) {}

  @Step()
  async book(trip: string, city: string): Promise<string> {
    await this.ledger.write(trip, 'car booked');
    return `in ${city}`;
  }

  async cancel(trip: string): Promise<void> {
    await this.ledger.cancel(trip, 'car');
  }
}
