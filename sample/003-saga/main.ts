/**
 * A trip is a flight, a car and a hotel, or nothing: what was booked is undone, the last first, when the hotels are full, when
 * the traveller cancels, and when nobody confirms within a day. The Grand is always full.
 *
 *   npm run start:saga
 *
 *   alias post="curl -H content-type:application/json"
 *   post -d '{"id":"1","traveller":"ann","city":"Rome","hotels":["Grand","Central"]}' localhost:3000/trips
 *   post -d '{"by":"ann"}' localhost:3000/trips/1/confirmation
 *   post -d '{"id":"2","traveller":"bob","city":"Rome","hotels":["Grand"]}' localhost:3000/trips
 *   post -d '{"id":"3","traveller":"eve","city":"Rome","hotels":["Central"]}' localhost:3000/trips
 *   curl -X DELETE localhost:3000/trips/3
 *   curl localhost:3000/trips/1 localhost:3000/trips/2 localhost:3000/trips/3
 */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';

const app = await NestFactory.create(AppModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3000);
