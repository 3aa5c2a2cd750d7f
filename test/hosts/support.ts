import { Injectable, Module, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { IncomingMessage, Server } from 'node:http';
import { afterEach, expect } from 'vitest';
import {
  Step,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  WorkflowScheduler,
  type WorkflowContext,
  type WorkflowModuleExtras,
  type WorkflowModuleOptions,
} from 'nestjs-workflow';
import { ADAPTERS, type Host } from '../http/host-support.js';
import type { Certificate } from '../support/certificate.js';
import { recordingLogger } from '../support/silent-logger.js';

export const KEY = 'a-signing-key-for-tests-of-32-or-more-characters';
export type Adapter = keyof typeof ADAPTERS;
export const ADAPTER_NAMES = Object.keys(ADAPTERS) as Adapter[];

@Injectable()
export class Shop {
  readonly executed: string[] = [];
  @Step({ retries: 0 })
  async sell(what: string): Promise<string> {
    this.executed.push(what);
    return `sold ${what}`;
  }
}

/** Steps after each other, side by side, and a wait: at least five calls over HTTP. */
@Workflow({ name: 'hosted' })
export class Hosted {
  constructor(readonly shop: Shop) {}
  async run(ctx: WorkflowContext<string>): Promise<string[]> {
    const first = await this.shop.sell(`${ctx.payload} 1`);
    const both = await Promise.all([this.shop.sell(`${ctx.payload} 2`), this.shop.sell(`${ctx.payload} 3`)]);
    await ctx.sleep('nap', '1ms');
    return [first, ...both, await this.shop.sell(`${ctx.payload} 4`)];
  }
}

const steps = (id: string): string[] => [1, 2, 3, 4].map((n) => `${id} ${n}`);

export interface HostedApp {
  readonly app: INestApplication;
  readonly client: WorkflowClient;
  readonly scheduler: WorkflowScheduler;
  readonly shop: Shop;
  /** what was logged, as `level: message` */
  readonly lines: readonly string[];
  /** paths of the callbacks that came over HTTP so far */
  readonly callbacks: readonly string[];
  readonly server: Server;
}

/** Closed after the test, the last first. */
const open: { close(): Promise<unknown> }[] = [];
export const closing = <T extends { close(): Promise<unknown> }>(what: T): T => {
  open.push(what);
  return what;
};
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close();
});

/** An application with the workflow, on this host; it does not listen yet. */
export async function create(
  adapter: Adapter,
  workflow: WorkflowModuleOptions & WorkflowModuleExtras,
  host: Omit<Host, 'name' | 'middleware'> & { readonly https?: Certificate } = {},
): Promise<HostedApp> {
  @Module({})
  class App {
    readonly name = 'app';
  }
  const logger = recordingLogger();
  const root = {
    module: App,
    imports: [WorkflowModule.forRoot({ worker: { shutdownGrace: '200ms' }, ...workflow })],
    providers: [Hosted, Shop, ...(host.providers ?? [])],
  };
  const options = { logger, abortOnError: false, ...host.options, httpsOptions: host.https };
  const app = closing(await NestFactory.create(root, ADAPTERS[adapter](host.https), options));
  host.setup?.(app);
  const callbacks: string[] = [];
  const server = app.getHttpServer() as Server;
  // first of all: on Fastify middleware changes the url
  server.prependListener('request', ({ url = '' }: IncomingMessage) => {
    if (url.endsWith('/deliver')) callbacks.push(url);
  });
  const [client, scheduler, shop] = [app.get(WorkflowClient), app.get(WorkflowScheduler), app.get(Shop)];
  return { app, client, scheduler, shop, lines: logger.lines, callbacks, server };
}

/** As `create`, and it listens on a port of its own. */
export async function listening(...args: Parameters<typeof create>): Promise<HostedApp> {
  const hosted = await create(...args);
  await hosted.app.listen(0, '127.0.0.1');
  return hosted;
}

export const problems = (lines: readonly string[]): string[] =>
  lines.filter((line) => /^(warn|error)/.test(line));

/** A run that is triggered here goes end to end; each of its steps was executed once, in `where`. */
export async function completes(hosted: HostedApp, id: string, where = hosted): Promise<void> {
  const run = await hosted.client.trigger(Hosted, id, { runId: id });
  expect(await run.result({ timeout: '30s' })).toEqual(steps(id).map((what) => `sold ${what}`));
  const executed = where.shop.executed.filter((what) => what.startsWith(`${id} `));
  expect(executed.toSorted()).toEqual(steps(id));
}

/** As `completes`, and every step came in a call of its own over HTTP, to this route, without a word in the log. */
export async function completesOverHttp(hosted: HostedApp, id: string, route?: string): Promise<void> {
  const before = hosted.callbacks.length;
  await completes(hosted, id);
  expect(hosted.scheduler.transport).toBe('http');
  const calls = hosted.callbacks.slice(before);
  // four steps and the run between them; what it did in memory is at most joined to a step
  expect(calls.length).toBeGreaterThanOrEqual(5);
  if (route !== undefined) expect(new Set(calls)).toEqual(new Set([route]));
  expect(problems(hosted.lines)).toEqual([]);
}
