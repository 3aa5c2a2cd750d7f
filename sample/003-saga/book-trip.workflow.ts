import {
  NonRetryableError,
  OnFailure,
  StepFailedError,
  Workflow,
  type FailureContext,
  type WorkflowContext,
  type WorkflowHandler,
} from 'nestjs-workflow';
import { CarsService } from './cars.service.js';
import { FlightsService } from './flights.service.js';
import { HotelFull, HotelsService } from './hotels.service.js';
import { MailService } from './mail.service.js';
import { Confirmed, type Itinerary, type Trip } from './trip.js';

/** All of a trip, or nothing of it. */
@Workflow({ name: 'book-trip' })
export class BookTrip implements WorkflowHandler<Trip, Itinerary> {
  constructor(
    private readonly flights: FlightsService,
    private readonly cars: CarsService,
    private readonly hotels: HotelsService,
    private readonly mails: MailService,
  ) {}

  async run(ctx: WorkflowContext<Trip>): Promise<Itinerary> {
    const { id, city } = ctx.payload;

    // registered first: a cancel may come while the booking is on its way, or a crash before we know of it
    ctx.onRollback('cancel flight', () => this.flights.cancel(id));
    const flight = await this.flights.book(id, city);

    ctx.onRollback('cancel car', () => this.cars.cancel(id));
    const car = await this.cars.book(id, city);

    ctx.onRollback('cancel hotel', () => this.hotels.cancel(id));
    const hotel = await this.bookHotel(ctx);

    const confirmed = await ctx.waitForEvent('confirmation', Confirmed(id), { timeout: '1d' });
    if (confirmed.timedOut) throw new NonRetryableError('never confirmed');
    return { flight, car, hotel };
  }

  private async bookHotel({ payload, logger }: WorkflowContext<Trip>): Promise<string> {
    for (const hotel of payload.hotels) {
      try {
        return await this.hotels.book(payload.id, hotel);
      } catch (error) {
        // a hotel that does not answer has failed after its retries, and so has the trip
        if (!(error instanceof StepFailedError && error.is(HotelFull))) throw error;
        logger.warn(`trip ${payload.id}: ${error.failure.message}`);
      }
    }
    throw new NonRetryableError(`no room in ${payload.hotels.join(', ')}`);
  }

  /** After all has been undone; not of a trip that was cancelled. */
  @OnFailure()
  async onFailure(ctx: FailureContext<Trip>): Promise<void> {
    const { id, traveller } = ctx.payload;
    await this.mails.apologize(id, traveller, ctx.error.message);
  }
}
