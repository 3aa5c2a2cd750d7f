import { Inject, Injectable, Logger } from '@nestjs/common';
import { verifierFor, type WebhookRequest } from '../authoring/index.js';
import {
  Clock,
  Codec,
  RunIntake,
  RunStore,
  WebhookIntake,
  type LiveWebhook,
  type WebhookCallData,
  type WebhookSender,
  type WebhookVerdict,
} from '../ports/index.js';
import { WorkflowRegistry } from '../registry/index.js';
import { orderedUuid } from './ordered-uuid.js';

/** A check that takes longer holds a request of a stranger open for nothing. */
export const VERIFY_LIMIT_MS = 10_000;

/** Lets calls of webhooks in: asks the workflow about their sender, and puts them into the inbox of the run. */
@Injectable()
export class WorkflowWebhooks extends WebhookIntake {
  readonly #logger = new Logger('Workflow');

  constructor(
    @Inject(WorkflowRegistry) private readonly registry: WorkflowRegistry,
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(RunIntake) private readonly intake: RunIntake,
    @Inject(Codec) private readonly codec: Codec,
    @Inject(Clock) private readonly clock: Clock,
  ) {
    super();
  }

  find(token: string): Promise<LiveWebhook | null> {
    return this.store.webhook(token);
  }

  async verify(hook: LiveWebhook, sender: WebhookSender): Promise<WebhookVerdict> {
    const definition = this.registry.get(hook.workflow, hook.version);
    const method = definition && verifierFor(definition.verifiers, hook.name);
    // a check that came with a later deployment than the webhook is asked as well
    if (definition === undefined || method === undefined) return hook.verify ? 'elsewhere' : 'genuine';
    const { name, runId, workflow } = hook;
    const request: WebhookRequest = { ...sender, name, runId, workflow };
    try {
      const said = await this.#inTime(async () => {
        const instance = (await definition.instance(runId)) as unknown as Record<string, Check>;
        return instance[method]!(request);
      });
      if (said === LATE) {
        this.#warn(hook, `has not been checked after ${VERIFY_LIMIT_MS} ms`);
        return 'elsewhere';
      }
      // anything but true is no yes: a check that forgot to return has not agreed
      return said === true ? 'genuine' : 'denied';
    } catch (error) {
      this.#warn(hook, `is refused, its check threw: ${textOf(error)}`);
      return 'denied';
    }
  }

  async deliver(hook: LiveWebhook, call: WebhookCallData): Promise<boolean> {
    const data = this.codec.encode(call, `call of webhook "${hook.name}"`);
    const request = { token: hook.token, eventId: orderedUuid(), data };
    const what = await this.intake.repeat(() => this.store.callWebhook(request));
    if (what === 'due') this.intake.announceDue();
    return what !== 'gone';
  }

  #inTime(work: () => Promise<unknown>): Promise<unknown> {
    let callOff = (): void => {};
    const late = new Promise<typeof LATE>((resolve) => {
      callOff = this.clock.after(VERIFY_LIMIT_MS, () => resolve(LATE));
    });
    return Promise.race([work(), late]).finally(() => callOff());
  }

  /** Without the token: who reads the log could call. */
  #warn({ name, runId, workflow }: LiveWebhook, what: string): void {
    this.#logger.warn(`A call of webhook "${name}" of run ${runId} ("${workflow}") ${what}`);
  }
}

const LATE = Symbol('late');

type Check = (request: WebhookRequest) => unknown;

function textOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return 'something that has no text';
  }
}
