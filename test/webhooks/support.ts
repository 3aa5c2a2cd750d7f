import { setTimeout as pause } from 'node:timers/promises';
import {
  StepFailedError,
  VerifyWebhook,
  Workflow,
  WorkflowContext,
  type RunHandle,
  type WebhookCall,
  type WebhookMethod,
  type WebhookRequest,
} from 'nestjs-workflow';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { startApp, type AppOptions, type TestApp } from '../client/support.js';
import { send, type Answer, type Call } from '../http/webhook-support.js';
import type { TestDatabase } from '../support/databases.js';

export const SIGNING_KEY = 'a-signing-key-for-tests-of-32-or-more-characters';
export const PUBLIC_URL = 'https://public.test/behind/proxy';
export const SECRET = 'whsec_of_the_sender';

/** Where the code of a run tells its URLs: the mail of a real one. */
export const urls = new Map<string, string>();

export interface Plan {
  /** how many calls are waited for, one after the other */
  calls: number;
  methods?: WebhookMethod[];
  /** of the first wait for a call */
  timeout?: '1s';
  /** waits for event `go <runId>` before the first wait for a call */
  later?: boolean;
  /** ends without any wait */
  name?: string;
}

/** Collects calls. */
@Workflow({ name: 'collects', retries: 0 })
export class Collects {
  async run(ctx: WorkflowContext<Plan>): Promise<(WebhookCall | 'timed out')[]> {
    const { calls, methods, timeout, later, name = 'hook' } = ctx.payload;
    const hook = await ctx.createWebhook(name, methods === undefined ? {} : { methods });
    await ctx.run('tell', () => void urls.set(ctx.runId, hook.url));
    if (later) await ctx.waitForEvent('go', `go ${ctx.runId}`);
    const got: (WebhookCall | 'timed out')[] = [];
    for (let n = 0; n < calls; n++) {
      const limit = n > 0 || timeout === undefined ? {} : { timeout };
      const one = await ctx.waitForWebhook(`call ${n}`, hook, limit);
      got.push(one.timedOut ? 'timed out' : one.data);
    }
    return got;
  }
}

/** The same, and looks at who calls. */
@Workflow({ name: 'verifies', retries: 0 })
export class Verifies extends Collects {
  static requests: WebhookRequest[] = [];
  readonly secret = SECRET;

  @VerifyWebhook()
  async signed(request: WebhookRequest): Promise<boolean> {
    Verifies.requests.push(request);
    const expected = createHmac('sha256', this.secret).update(request.rawBody).digest();
    const given = Buffer.from(request.headers['x-signature'] ?? '', 'hex');
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  @VerifyWebhook('open')
  everybody(): boolean {
    return true;
  }

  @VerifyWebhook('broken')
  broken(): boolean {
    throw new Error('this check is broken');
  }

  @VerifyWebhook('forgetful')
  forgetful(): boolean {
    return undefined as unknown as boolean;
  }
}

/** Tells what a webhook without a public URL is answered, and goes on. */
@Workflow({ name: 'has-no-url', retries: 3 })
export class HasNoUrl {
  async run(ctx: WorkflowContext<{ catches: boolean }>): Promise<unknown> {
    try {
      return await ctx.createWebhook('hook');
    } catch (error) {
      if (!ctx.payload.catches) throw error;
      await ctx.sleep('later', '1ms');
      return error instanceof StepFailedError && { code: error.failure.code, step: error.step };
    }
  }
}

export const signatureOf = (body: string): string => createHmac('sha256', SECRET).update(body).digest('hex');

/** An application whose server listens, with a public URL. */
export function startWebhookApp(
  database: TestDatabase,
  transport: 'http' | 'in-process',
  options: AppOptions = {},
): Promise<TestApp> {
  return startApp(database, {
    listen: true,
    providers: [Collects, Verifies, HasNoUrl],
    ...options,
    workflow: {
      transport,
      http: { publicUrl: PUBLIC_URL, signingKey: SIGNING_KEY },
      ...options.workflow,
    },
  });
}

/** Calls what lies behind the proxy of the public URL. */
export async function callHook(app: TestApp, url: string, call: Call = {}): Promise<Answer> {
  return send(await localUrl(app, url), call);
}

export async function localUrl(app: TestApp, url: string): Promise<string> {
  if (!url.startsWith(PUBLIC_URL)) throw new Error(`${url} does not lie below the public URL`);
  return (await app.app.getUrl()) + url.slice(PUBLIC_URL.length);
}

export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  for (;;) {
    const found = await look();
    if (found) return found;
    await pause(5);
  }
}

/** The URL of the run, once its code has told it. */
export const urlOf = (run: RunHandle<unknown, unknown>): Promise<string> => until(() => urls.get(run.runId));
