import { BadRequestException, Body, Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { WorkflowClient, type NotifyResult } from 'nestjs-workflow';
import { BookTrip } from './book-trip.workflow.js';
import { Ledger } from './ledger.service.js';
import { Confirmed, type Itinerary, type Trip } from './trip.js';

interface TripView {
  status: string;
  /** what was booked and undone, in this order */
  ledger: string[];
  itinerary?: Itinerary;
  error?: string;
}

@Controller('trips')
export class TripsController {
  constructor(
    private readonly workflows: WorkflowClient,
    private readonly ledger: Ledger,
  ) {}

  @Post()
  async book(@Body() trip: Trip): Promise<{ id: string; created: boolean }> {
    if (!trip?.id || !Array.isArray(trip.hotels))
      throw new BadRequestException('A trip needs an id and hotels');
    const run = await this.workflows.trigger(BookTrip, trip, { runId: trip.id });
    return { id: run.runId, created: run.created };
  }

  @Post(':id/confirmation')
  confirm(@Param('id') id: string, @Body() { by }: { by: string }): Promise<NotifyResult> {
    return this.workflows.run(BookTrip, id).notify(Confirmed(id), { by });
  }

  /** Undoes what was booked, unless the trip is confirmed already: `GET` tells which. */
  @Delete(':id')
  @HttpCode(202)
  cancel(@Param('id') id: string): Promise<void> {
    return this.workflows.run(BookTrip, id).cancel();
  }

  @Get(':id')
  async get(@Param('id') id: string): Promise<TripView> {
    const run = await this.workflows.run(BookTrip, id).get();
    const ledger = await this.ledger.of(id);
    if (run.status === 'completed') return { status: run.status, ledger, itinerary: run.result };
    if (run.status === 'failed') return { status: run.status, ledger, error: run.error.message };
    return { status: run.status, ledger };
  }
}
