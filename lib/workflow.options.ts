import type { DataSourceOptions } from 'typeorm';
import type { Duration } from './engine/duration.js';
import type { RetryOptions } from './engine/retry.js';

export type { RetryOptions } from './engine/retry.js';

/** Where the journal lives. */
export type WorkflowDatabase =
  | { /** a PostgreSQL of its own, `postgres://user:password@host:5432/name` */ url: string }
  | {
      /** name of a TypeORM DataSource of the application, whose connection options are used */ dataSource: string;
    }
  | { /** embedded PGlite in this folder, or in memory */ embedded: string | 'memory' }
  | DataSourceOptions;

/** How deliveries, webhooks and external calls go over HTTP. */
export interface WorkflowHttpOptions {
  /** base URL at which deliveries reach the application (behind it: prefix and `path` are appended)
   * @default the application's own listening address */
  url?: string;
  /** base URL at which the outside world reaches the application (webhooks) */
  publicUrl?: string;
  /** key of the HMAC-SHA256 signature, at least 32 characters, the same in all processes
   * @default random per process, which is right only for the loopback default */
  signingKey?: string;
  /** a second key accepted while keys are rotated */
  nextSigningKey?: string;
  /** how many steps one call may execute before it replies @default 1 */
  stepsPerCall?: number;
  /** external calls, `ctx.call` */
  calls?: WorkflowCallOptions;
}

/** What external calls (`ctx.call`) may do. */
export interface WorkflowCallOptions {
  /** addresses that are never called, as CIDRs such as `'203.0.113.0/24'`: besides what is denied by default, and whatever `allow` says */
  deny?: string[];
  /** CIDRs or host names that are called although they are denied by default: loopback, private, link-local, shared, reserved and
   * multicast addresses, and everything else that is not public */
  allow?: string[];
  /** limit of one response body, decompressed, in bytes @default that of `maxPayloadBytes` */
  maxResponseBytes?: number;
  /** how many calls this process makes at a time, besides `worker.concurrency` @default 500 */
  concurrency?: number;
  /** limit of one attempt of a call that does not say its own; at most 12 h @default '2m' */
  timeout?: Duration;
}

/** How much this process works on, and how it says that it is alive. */
export interface WorkflowWorkerOptions {
  /** how many tasks this process works on at a time @default 100 */
  concurrency?: number;
  /** how often due tasks are looked for when nothing announces them @default '1s' */
  pollInterval?: Duration;
  /** how often this process says that it is alive @default '3s' */
  heartbeat?: Duration;
  /** silence after which a process is presumed dead and its tasks are given to others; at least 3 heartbeats @default '10s' */
  leaseTimeout?: Duration;
  /** how long a step may block the event loop and keep its lease: a thread beats meanwhile, on PostgreSQL; after that the process is
   * taken for dead. At least `leaseTimeout`; `false`: no such thread @default '2m' */
  maxBlocked?: Duration | false;
  /** how long running steps may go on after shutdown has begun @default '20s' */
  shutdownGrace?: Duration;
}

/** Options of `WorkflowModule.forRoot()`. All optional. */
export interface WorkflowModuleOptions {
  /** first that applies: this; the DataSource named by `dataSource`; the application's default one; embedded PGlite in `.workflow/` */
  database?: WorkflowDatabase;
  /** PostgreSQL schema of the tables @default the connection's own (search_path, or the `schema` of the DataSource) */
  schema?: string;
  /** run pending migrations at boot; `false` refuses to boot while some are pending @default true */
  migrate?: boolean;
  /** `http`: each step in its own signed call; `in-process`: no HTTP at all @default 'http' */
  transport?: 'http' | 'in-process';
  http?: WorkflowHttpOptions;
  /** `false`: callbacks and client work, but nothing is claimed here */
  worker?: false | WorkflowWorkerOptions;
  /** defaults of all steps; a step's own options and the workflow's `stepDefaults` come first. `timeout`: limit of one attempt @default none */
  steps?: RetryOptions & { timeout?: Duration };
  /** limit of one payload, result or event, in bytes of its encoded text @default 1048576 (1 MiB) */
  maxPayloadBytes?: number;
  /** limit of journal entries of one run @default 10000 */
  maxSteps?: number;
}

/** What shapes the module graph: given synchronously, also beside a factory. */
export interface WorkflowModuleExtras {
  /** route of the callback controller, below the global prefix @default 'workflow' */
  path?: string;
  /** export the client to all modules @default false */
  isGlobal?: boolean;
  /** name of the TypeORM DataSource to derive the connection from @default the default DataSource */
  dataSource?: string;
}
