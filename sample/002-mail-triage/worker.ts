import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';

/** The process that does the work; the driver starts it, kills it, and starts it again. */
const app = await NestFactory.create<NestExpressApplication>(AppModule, {
  logger: ['fatal', 'error'],
  abortOnError: false,
});
app.useBodyParser('json', { limit: '5mb' });
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');

// nothing of a session outlives its driver
process.once('disconnect', () => process.exit());
process.send?.({ url: await app.getUrl() });
