import {
  VerifyWebhook,
  Workflow,
  type WebhookRequest,
  type WorkflowContext,
  type WorkflowHandler,
} from 'nestjs-workflow';
import type { Decision, Expense } from './expense.js';
import { Mailbox } from './mailbox.service.js';
import { settings } from './settings.js';
import { isSignatureOf } from './signature.js';

@Workflow({ name: 'approve-expense' })
export class ApproveExpense implements WorkflowHandler<Expense, Decision> {
  constructor(private readonly mailbox: Mailbox) {}

  async run(ctx: WorkflowContext<Expense>): Promise<Decision> {
    const { id, by, boss, amount } = ctx.payload;
    // no GET: scanners of mails follow links, and would approve
    const hook = await ctx.createWebhook('approval', { methods: ['POST'] });
    await this.mailbox.send({ to: boss, subject: `${by} has spent ${amount}`, link: hook.url });

    const answer = await ctx.waitForWebhook('answer', hook, { timeout: '3d' });
    const decision = answer.timedOut ? 'expired' : decisionOf(answer.data.body);
    await this.mailbox.send({ to: by, subject: `expense ${id}: ${decision}` });
    return decision;
  }

  /** Asked before anything of a call is kept. Outside of any run, so that it may compare secrets and clocks. */
  @VerifyWebhook('approval')
  isSigned({ headers, rawBody }: WebhookRequest): boolean {
    return isSignatureOf(rawBody, headers['x-signature'] ?? '', settings.approvalSecret);
  }
}

/** Nobody has checked what the body looks like: only a clear yes is one. */
function decisionOf(body: unknown): Decision {
  const yes = typeof body === 'object' && body !== null && 'approved' in body && body.approved === true;
  return yes ? 'approved' : 'rejected';
}
