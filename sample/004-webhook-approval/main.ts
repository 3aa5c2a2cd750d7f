/**
 * Who spends money asks the boss, by a mail with a link. The approval tool of the company calls the link and signs its call.
 *
 *   npm run start:approval
 *
 *   curl -H 'content-type: application/json' -d '{"id":"7","by":"bob","boss":"ann","amount":12}' localhost:3000/expenses
 *   link=$(curl -s localhost:3000/mailbox/ann | grep -o 'http[^"]*')
 *   body='{"approved":true}'
 *   signature=$(printf %s "$body" | openssl dgst -sha256 -hmac 'no secret' | sed 's/.* //')
 *   curl -H 'content-type: application/json' -H "x-signature: $signature" -d "$body" "$link"
 *   curl localhost:3000/expenses/7
 */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { settings } from './settings.js';

const app = await NestFactory.create(AppModule);
app.enableShutdownHooks();
await app.listen(settings.port);
