/**
 * An order waits for its payment, then goes out. Kill the process at any moment and start it again: it goes on.
 *
 *   npm run start:order
 *
 *   curl -H 'content-type: application/json' -d '{"id":"7","items":["book"],"total":12,"address":"Rome"}' localhost:3000/orders
 *   curl -H 'content-type: application/json' -d '{"amount":12}' localhost:3000/orders/7/payment
 *   curl localhost:3000/orders/7
 */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';

const app = await NestFactory.create(AppModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3000);
