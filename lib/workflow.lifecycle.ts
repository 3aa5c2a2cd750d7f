import {
  Inject,
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import { ApplicationConfig } from '@nestjs/core';
import { WorkflowError } from './errors/index.js';
import {
  callbackPrefix,
  callbackUrl,
  HttpTransport,
  InProcessTransport,
  MessageSigner,
  ownTarget,
  OwnAddress,
  OwnConnections,
  type CallbackTarget,
  type ListeningAddress,
} from './http/index.js';
import { CallPerformer, Clock, type Transport } from './ports/index.js';
import { CallTasks } from './runtime/call-tasks.js';
import { RuntimeConfig } from './runtime/config.js';
import { DeliveryExecutor } from './runtime/delivery-executor.js';
import { LocalDeliveries, RemoteDeliveries } from './runtime/delivery-handlers.js';
import { Leases } from './runtime/leases.js';
import { RejectionGuard } from './runtime/rejection-guard.js';
import { DeclaredSchedules } from './runtime/declared-schedules.js';
import { WorkflowScheduler } from './runtime/scheduler.js';
import { ScheduleRunner } from './runtime/schedules.js';
import { Signals } from './runtime/signals.js';
import { Takeovers } from './runtime/takeovers.js';
import { within } from './runtime/within.js';
import { Database } from './typeorm/database.js';
import type { WorkflowModuleOptions } from './workflow.options.js';
import { WORKFLOW_OPTIONS, WORKFLOW_PATH } from './workflow.tokens.js';

/** How long an application with a server may take from bootstrap to `listen()` before it is taken to have no server. */
const LISTEN_PATIENCE_MS = 1000;
const SERVER_CLOSED = 'The HTTP server of the application has closed: steps run in-process from now on.';
const PING_AGAIN_MS = 5000;
const LAST_CLAIM_MS = 2000;

/** Starts the runtime when the application has bootstrapped, chooses the transport, and drains on shutdown. */
@Injectable()
export class WorkflowLifecycle
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  readonly #logger = new Logger('Workflow');
  #http: HttpTransport | undefined;
  #uninstall: () => void = () => {};
  #stopped = false;
  #callOff: () => void = () => {};
  #choosing: Promise<void> = Promise.resolve();

  constructor(
    @Inject(WORKFLOW_OPTIONS) private readonly options: WorkflowModuleOptions,
    @Inject(WORKFLOW_PATH) private readonly path: string,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
    @Inject(ApplicationConfig) private readonly application: ApplicationConfig,
    private readonly scheduler: WorkflowScheduler,
    private readonly declared: DeclaredSchedules,
    private readonly schedules: ScheduleRunner,
    private readonly takeovers: Takeovers,
    private readonly executor: DeliveryExecutor,
    private readonly local: LocalDeliveries,
    private readonly remote: RemoteDeliveries,
    private readonly leases: Leases,
    private readonly signals: Signals,
    private readonly address: OwnAddress,
    private readonly signer: MessageSigner,
    private readonly connections: OwnConnections,
    private readonly calls: CallTasks,
    private readonly performer: CallPerformer,
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (this.config.worker) this.declared.check();
    this.#uninstall = RejectionGuard.install();
    // neither waits for the other: nothing is owned or announced before both are there
    const started = await Promise.allSettled([this.leases.start(), this.signals.start()]);
    // only then: what has not ended yet must not go on behind an application that is being taken down
    for (const one of started) if (one.status === 'rejected') throw one.reason;
    if (!this.config.worker) return;
    await this.declared.write();
    if (this.options.transport === 'in-process') this.#startInProcess();
    else this.#choosing = this.#choose();
  }

  /** HTTP still answers: nothing new is claimed, what runs goes on. */
  onModuleDestroy(): void {
    this.#stopped = true;
    this.#callOff();
    void this.schedules.stop();
    this.takeovers.stop();
    this.executor.close();
    this.scheduler.stop();
  }

  /** The server still takes callbacks here; when this is over it closes. */
  async beforeApplicationShutdown(): Promise<void> {
    this.onModuleDestroy();
    await this.#choosing;
    await this.#drain();
    await this.signals.stop().catch(() => {});
    await this.leases.stop();
    await this.#http?.close();
    await this.performer.close();
    this.#uninstall();
  }

  /** Before TypeORM closes the pool. */
  async onApplicationShutdown(): Promise<void> {
    await this.database.close();
  }

  async #drain(): Promise<void> {
    const started = this.clock.elapsed();
    const grace = this.config.shutdownGraceMs;
    await within(this.clock, LAST_CLAIM_MS, this.schedules.stop());
    await within(this.clock, grace, this.scheduler.idle());
    // one may take hours: what has not ended within the grace is given back at once, and made again elsewhere
    this.calls.cutOff();
    await this.executor.drain(Math.max(0, grace - (this.clock.elapsed() - started)));
    // a claim on its way may still bring tasks to give back; a database that is away may keep it for ever
    await within(this.clock, LAST_CLAIM_MS, this.scheduler.quiet());
    await this.executor.unasked();
  }

  #start(transport: Transport): void {
    if (this.#stopped) return;
    // as if it had come over the network: copies of it may be on their way there
    this.scheduler.start(transport, new InProcessTransport(this.remote));
    this.schedules.start();
    this.takeovers.start();
  }

  #startInProcess(): void {
    this.#start(new InProcessTransport(this.local));
  }

  async #choose(): Promise<void> {
    const { url } = this.options.http ?? {};
    if (url !== undefined) return this.#useConfigured(url);
    const listening = await this.address.whenListening(LISTEN_PATIENCE_MS);
    if (this.#stopped) return;
    if (listening && (await this.#useOwn())) return;
    if (!listening) {
      this.#logger.warn(
        "No HTTP server is listening: steps run in-process. Say `transport: 'in-process'` if that is meant.",
      );
    }
    this.#startInProcess();
    // a server that begins to listen later takes over from then on; one that comes and goes (supertest) does so once at most
    if (!listening) this.address.onceListening(() => void this.#useOwn());
  }

  /** A configured URL that does not lead to this application would lose every step: nothing is claimed until it does. */
  async #useConfigured(url: string): Promise<void> {
    await this.address.whenListening(LISTEN_PATIENCE_MS);
    const prefix = callbackPrefix(this.application, this.path);
    const target: CallbackTarget = { url: callbackUrl(url, prefix, this.path) };
    const transport = this.#transportTo(() => target);
    while (!this.#stopped) {
      try {
        await transport.ping();
        this.#start(transport);
        return;
      } catch (error) {
        this.#logger.error(`Nothing is claimed: ${(error as Error).message}`);
        await this.#pause(PING_AGAIN_MS);
      }
    }
  }

  async #useOwn(): Promise<boolean> {
    const prefix = callbackPrefix(this.application, this.path);
    let of: ListeningAddress | undefined;
    let target: CallbackTarget | undefined;
    const transport = this.#transportTo(() => {
      const own = this.address.current;
      // asked for with each delivery
      if (own !== of) target = own && ownTarget(own, prefix, this.path);
      of = own;
      return target;
    });
    const asked = this.address.current;
    let problem: unknown;
    await transport.ping().catch((error: unknown) => (problem = error));
    // it may have closed meanwhile, and listen again
    const closed = asked === undefined || this.address.current !== asked;
    if (problem || closed) {
      const said = WorkflowError.is(problem) ? problem.message : String(problem);
      const why = `The application does not reach itself over HTTP, steps run in-process: ${said}`;
      if (!this.#stopped) this.#logger.warn(closed ? SERVER_CLOSED : why);
      return false;
    }
    this.#start(transport);
    // what is on its way to a server that closes gets its answer; what was not sent is repeated, in-process then
    this.address.onceClosed(() => {
      if (this.#stopped) return;
      this.#logger.warn(SERVER_CLOSED);
      this.#startInProcess();
    });
    return true;
  }

  #transportTo(target: () => CallbackTarget | undefined): HttpTransport {
    return (this.#http ??= new HttpTransport({
      target,
      signer: this.signer,
      own: this.connections,
      connections: this.config.concurrency,
    }));
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const callOff = this.clock.after(ms, resolve);
      this.#callOff = () => {
        callOff();
        resolve();
      };
    });
  }
}
