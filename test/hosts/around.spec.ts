import {
  HttpException,
  Injectable,
  RequestMethod,
  UnauthorizedException,
  VersioningType,
  type ArgumentsHost,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Envelope, RefuseAll, type Host } from '../http/host-support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { ADAPTER_NAMES, completes, completesOverHttp, listening, problems } from './support.js';

/** What `@nestjs/throttler` does as a global guard: so many requests of one address, then 429. Here the first one is too many. */
@Injectable()
class Throttler implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const response = context.switchToHttp().getResponse<{ header(name: string, value: string): unknown }>();
    response.header('retry-after', '60');
    throw new HttpException('ThrottlerException: Too Many Requests', 429);
  }
}

@Injectable()
class Login implements CanActivate {
  canActivate(): boolean {
    throw new UnauthorizedException('Who are you?');
  }
}

/** Answers each error as a page, with a status that lies. */
@Injectable()
class Pages implements ExceptionFilter {
  catch(_error: unknown, host: ArgumentsHost): void {
    const response = host
      .switchToHttp()
      .getResponse<{ status(code: number): { send(body: string): void } }>();
    response.status(200).send('<h1>Something went wrong</h1>');
  }
}

const guarded = { provide: APP_GUARD, useClass: Login };
const everything: Host = {
  name: 'all of these together',
  providers: [
    { provide: APP_GUARD, useClass: Throttler },
    guarded,
    { provide: APP_PIPE, useClass: RefuseAll },
    { provide: APP_INTERCEPTOR, useClass: Envelope },
    { provide: APP_FILTER, useClass: Pages },
  ],
  options: { rawBody: true, cors: true },
  setup: (app) => {
    app.setGlobalPrefix('api/v2');
    app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1', prefix: 'v' });
  },
  route: '/api/v2/workflow/deliver',
};

const HOSTS: Host[] = [
  { name: 'nothing', route: '/workflow/deliver' },
  { name: 'a throttler as global guard', providers: [{ provide: APP_GUARD, useClass: Throttler }] },
  { name: 'a global guard that asks who it is', providers: [guarded] },
  { name: 'a global pipe that refuses', providers: [{ provide: APP_PIPE, useClass: RefuseAll }] },
  {
    name: 'a global interceptor that wraps answers',
    providers: [{ provide: APP_INTERCEPTOR, useClass: Envelope }],
  },
  { name: 'a global filter that answers pages', providers: [{ provide: APP_FILTER, useClass: Pages }] },
  { name: 'rawBody: true', options: { rawBody: true } },
  { name: 'rawBody: false', options: { rawBody: false } },
  { name: 'no body parser', options: { bodyParser: false } },
  { name: 'a global prefix', setup: (app) => app.setGlobalPrefix('api'), route: '/api/workflow/deliver' },
  {
    name: 'a global prefix that excludes the callbacks',
    setup: (app) =>
      app.setGlobalPrefix('api', { exclude: [{ path: 'workflow/*rest', method: RequestMethod.POST }] }),
    route: '/workflow/deliver',
  },
  {
    name: 'a global prefix that excludes something else',
    setup: (app) => app.setGlobalPrefix('api', { exclude: ['health', 'workflow/other'] }),
    route: '/api/workflow/deliver',
  },
  {
    name: 'versioning by URI',
    setup: (app) => app.enableVersioning({ type: VersioningType.URI, defaultVersion: ['1', '2'] }),
    route: '/workflow/deliver',
  },
  {
    name: 'versioning by header',
    setup: (app) =>
      app.enableVersioning({ type: VersioningType.HEADER, header: 'x-version', defaultVersion: '1' }),
  },
  {
    name: 'versioning by media type',
    setup: (app) => app.enableVersioning({ type: VersioningType.MEDIA_TYPE, key: 'v=', defaultVersion: '1' }),
  },
  everything,
];

let db: TestDatabase;
beforeAll(async () => {
  db = await createPostgres();
});
afterAll(() => db?.dispose());

describe.each(ADAPTER_NAMES)('on %s', (adapter) => {
  it.each(HOSTS)('steps are called over HTTP behind $name', async ({ name, route, ...host }) => {
    const hosted = await listening(adapter, { database: db.options }, host);
    await completesOverHttp(hosted, `${adapter}, ${name}`, route);
  });

  it('a path of several parts', async () => {
    const setup: Host['setup'] = (app) => app.setGlobalPrefix('/api/');
    const hosted = await listening(adapter, { database: db.options, path: '/jobs/wf/' }, { setup });
    await completesOverHttp(hosted, `${adapter}, path`, '/api/jobs/wf/deliver');
  });

  it('what a rate limit of the application turns away is sent again', async () => {
    let seen = 0;
    const limit = (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
      // the ping passes; of the rest, each third call is one too many
      if (!request.url?.endsWith('/deliver') || ++seen % 3 !== 0) return next();
      response.writeHead(429).end('Too many requests');
    };
    const hosted = await listening(adapter, { database: db.options }, { setup: (app) => app.use(limit) });
    await completes(hosted, `${adapter}, rate limit`);
    expect(hosted.scheduler.transport).toBe('http');
    const turnedAway = problems(hosted.lines);
    expect(turnedAway.length).toBeGreaterThanOrEqual(1);
    for (const line of turnedAway) expect(line).toMatch(/not-sent.*answered 429/s);
  });
});
