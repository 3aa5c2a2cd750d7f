import { Injectable } from '@nestjs/common';
import { NonRetryableError, Step } from 'nestjs-workflow';
import { Ledger } from './ledger.service.js';

/** To ask this hotel again is pointless. */
export class HotelFull extends NonRetryableError {}

/** There is one in every city, and it never has a room. */
const FULL = 'Grand';

@Injectable()
export class HotelsService {
  constructor(private readonly ledger: Ledger) {}

  @Step()
  async book(trip: string, hotel: string): Promise<string> {
    if (hotel === FULL) throw new HotelFull(`the ${hotel} has no room`);
    await this.ledger.write(trip, 'hotel booked');
    return hotel;
  }

  async cancel(trip: string): Promise<void> {
    await this.ledger.cancel(trip, 'hotel');
  }
}
