import { createHmac, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { expectTypeOf } from 'vitest';
import {
  Step,
  VerifyWebhook,
  Workflow,
  WorkflowContext,
  type Webhook,
  type WebhookCall,
  type WebhookMethod,
  type WebhookRequest,
} from 'nestjs-workflow';

@Injectable()
class Mail {
  @Step() async send(to: string, url: string) {
    void [to, url];
  }
}

@Workflow({ name: 'expense' })
export class Expense {
  constructor(private readonly mail: Mail) {}

  async run(
    ctx: WorkflowContext<{ boss: string; amount: number }>,
  ): Promise<'approved' | 'rejected' | 'expired'> {
    const hook = await ctx.createWebhook('approval link', { methods: ['POST'] });
    expectTypeOf(hook).toEqualTypeOf<Webhook>();
    await this.mail.send(ctx.payload.boss, hook.url);
    const answer = await ctx.waitForWebhook<{ ok: boolean }>('approval', hook, { timeout: '3d' });
    if (answer.timedOut) return 'expired';
    expectTypeOf(answer.data.query).toEqualTypeOf<Record<string, string | string[]>>();
    return answer.data.body.ok ? 'approved' : 'rejected';
  }

  @VerifyWebhook('stripe')
  stripe({ headers, rawBody }: WebhookRequest): boolean {
    const fields = new Map(
      (headers['stripe-signature'] ?? '').split(',').map((part) => part.split('=', 2) as [string, string]),
    );
    const at = Number(fields.get('t'));
    if (!(Math.abs(Date.now() / 1000 - at) < 300)) return false;
    const expected = createHmac('sha256', 'secret').update(`${at}.`).update(rawBody).digest();
    return same(expected, fields.get('v1'));
  }

  @VerifyWebhook()
  async github({ headers, rawBody }: WebhookRequest): Promise<boolean> {
    const expected = createHmac('sha256', 'secret').update(rawBody).digest();
    return same(expected, headers['x-hub-signature-256']?.replace(/^sha256=/, ''));
  }
}

function same(expected: Buffer, given = ''): boolean {
  const bytes = Buffer.from(given, 'hex');
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

export async function waits(ctx: WorkflowContext) {
  const hook = await ctx.createWebhook('plain');
  // without a timeout there is nothing to ask
  const forever = await ctx.waitForWebhook('any', hook);
  expectTypeOf(forever.data).toEqualTypeOf<WebhookCall<unknown>>();
  const limited = await ctx.waitForWebhook('any', hook, { timeout: '1h' });
  // @ts-expect-error it may have timed out
  void limited.data.body;
  // @ts-expect-error a URL is no webhook
  await ctx.waitForWebhook('any', hook.url);
  // @ts-expect-error HEAD never counts
  await ctx.createWebhook('any', { methods: ['HEAD'] });
  const methods: WebhookMethod[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
  await ctx.createWebhook('any', { methods });
}

export class Checks {
  // @ts-expect-error a check says yes or no
  @VerifyWebhook() text(): string {
    return 'yes';
  }
  // @ts-expect-error a check is given the request, not a text
  @VerifyWebhook('text') of(url: string): boolean {
    return url === '';
  }
}
