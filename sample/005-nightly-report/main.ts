/**
 * Each night a report of the day before: 500 customers, a run of its own for each statement, 20 at a time. Kill the process in
 * the middle and start it again: what is written is not written again, and each customer is counted once.
 *
 *   npm run start:report
 *
 *   curl localhost:3000/reports              # when the next one is due
 *   curl -X POST localhost:3000/reports      # one now
 *   curl localhost:3000/reports/<id>
 */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';

const app = await NestFactory.create(AppModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3000);
