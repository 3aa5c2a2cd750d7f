import { Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { WorkflowModule } from 'nestjs-workflow';
import { WorkflowErrorFilter } from '../001-order/workflow-error.filter.js';
import { BookTrip } from './book-trip.workflow.js';
import { CarsService } from './cars.service.js';
import { FlightsService } from './flights.service.js';
import { HotelsService } from './hotels.service.js';
import { Ledger } from './ledger.service.js';
import { MailService } from './mail.service.js';
import { TripsController } from './trips.controller.js';

@Module({
  imports: [WorkflowModule.forRoot()],
  controllers: [TripsController],
  providers: [
    BookTrip,
    FlightsService,
    CarsService,
    HotelsService,
    MailService,
    Ledger,
    { provide: APP_FILTER, useClass: WorkflowErrorFilter },
  ],
})
export class AppModule {}
