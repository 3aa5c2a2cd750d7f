import { Test } from '@nestjs/testing';
import { afterEach, expect, it } from 'vitest';
import {
  Step,
  VerifyWebhook,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  type WebhookRequest,
} from 'nestjs-workflow';
import { WorkflowBench, WorkflowTestingModule } from 'nestjs-workflow/testing';
import type { TestingModule } from '@nestjs/testing';

const urls: string[] = [];

@Workflow({ name: 'expense' })
class Expense {
  async run(ctx: WorkflowContext<{ name: string }>): Promise<unknown> {
    const hook = await ctx.createWebhook(ctx.payload.name);
    await this.mail(hook.url);
    const answer = await ctx.waitForWebhook<{ ok: boolean }>('approval', hook, { timeout: '3d' });
    return answer.timedOut ? 'expired' : answer.data;
  }
  @Step() async mail(url: string): Promise<void> {
    urls.push(url);
  }
  @VerifyWebhook('signed')
  signed({ headers }: WebhookRequest): boolean {
    return headers['x-key'] === 'right';
  }
}

let app: TestingModule;
afterEach(async () => {
  urls.length = 0;
  await app?.close();
});

async function start(name: string) {
  app = await Test.createTestingModule({
    imports: [WorkflowTestingModule.forRoot()],
    providers: [Expense],
  }).compile();
  await app.init();
  const bench = WorkflowBench.of(app);
  const run = await app.get(WorkflowClient).trigger(Expense, { name });
  await bench.untilIdle();
  expect(urls).toHaveLength(1);
  return { bench, run, url: urls[0]! };
}

it('a webhook is called without a server', async () => {
  const { bench, run, url } = await start('open');
  expect(await bench.callWebhook(`${url}?by=ann`, { body: { ok: true } })).toMatchObject({
    status: 202,
    body: { accepted: true },
  });
  expect(await run.result()).toEqual({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    query: { by: 'ann' },
    body: { ok: true },
  });
  expect(await bench.callWebhook(url)).toMatchObject({ status: 404, body: { code: 'WF_WEBHOOK_NOT_FOUND' } });
});

it('with all that is checked then', async () => {
  const { bench, run, url } = await start('signed');
  expect((await bench.callWebhook(url, { method: 'GET' })).status).toBe(405);
  expect(await bench.callWebhook(url, { method: 'HEAD' })).toMatchObject({ status: 200, body: undefined });
  expect((await bench.callWebhook(url, { body: 'text' })).status).toBe(401);
  const headers = { 'X-Key': 'right', 'Content-Type': 'text/plain' };
  expect((await bench.callWebhook(url, { headers, body: 'text' })).status).toBe(202);
  expect(await run.result()).toMatchObject({ body: 'text' });
});

it('the bench moves the time of the wait', async () => {
  const { bench, run } = await start('open');
  await bench.advance('3d');
  expect(await run.result()).toBe('expired');
});
