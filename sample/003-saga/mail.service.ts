import { Injectable } from '@nestjs/common';
import { Step } from 'nestjs-workflow';
import { Ledger } from './ledger.service.js';

@Injectable()
export class MailService {
  constructor(private readonly ledger: Ledger) {}

  @Step()
  async apologize(trip: string, traveller: string, reason: string): Promise<void> {
    await this.ledger.write(trip, `${traveller} told: ${reason}`);
  }
}
