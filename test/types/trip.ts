import { Injectable } from '@nestjs/common';
import {
  NonRetryableError,
  RetryAfterError,
  Step,
  StepFailedError,
  Workflow,
  WorkflowContext,
} from 'nestjs-workflow';

class CardDeclined extends NonRetryableError {}

@Injectable()
class Flights {
  @Step() async book(city: string) {
    return { id: `f${city}` };
  }
  @Step() async cancel(id: string) {
    void id;
  }
}

/** The same method names as on the other class. */
@Injectable()
class Hotels {
  @Step() async book(city: string): Promise<{ id: string }> {
    throw new CardDeclined(city);
  }
  @Step() async cancel(id: string) {
    throw new RetryAfterError(id, '30s');
  }
}

@Workflow({ name: 'book-trip', retries: 0, version: '2', timeout: '1d', stepDefaults: { timeout: '10s' } })
export class BookTrip {
  constructor(
    private readonly flights: Flights,
    private readonly hotels: Hotels,
  ) {}

  async run(ctx: WorkflowContext<{ city: string }>) {
    const flight = await this.flights.book(ctx.payload.city);
    try {
      const hotel = await this.hotels.book(ctx.payload.city);
      return { flight: flight.id, hotel: hotel.id };
    } catch (error) {
      await this.flights.cancel(flight.id);
      if (error instanceof StepFailedError && error.is(CardDeclined))
        ctx.logger.warn(`declined: ${error.failure.message}`);
      throw error;
    }
  }
}
