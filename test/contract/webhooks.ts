import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { orderedUuid } from '../../lib/client/ordered-uuid.js';
import { webhookEvent, writeWebhookSpec } from '../../lib/engine/webhook.js';
import type { Task, WebhookCallRequest } from '../../lib/ports/index.js';
import type { Bench } from './support.js';

const SPEC = { name: 'approval', methods: ['POST'], verify: true };

export function webhooks(bench: () => Bench): void {
  const newToken = (): string => randomBytes(24).toString('base64url');
  const callOf = (token: string, data = '1'): WebhookCallRequest => ({ token, eventId: orderedUuid(), data });

  /** A run with a webhook, which does something else meanwhile. */
  async function withHook(name = 'run'): Promise<{ task: Task; token: string }> {
    const b = bench();
    const token = newToken();
    const task = await b.claimed(name);
    const more = { kind: 'webhook', event: webhookEvent(token), request: writeWebhookSpec(SPEC) } as const;
    await b.commit(task, { rows: [b.fact('hook', 1, '{}', more)] });
    return { task, token };
  }

  it('finds the webhook of a token while its run goes on, and no other', async () => {
    const b = bench();
    const { task, token } = await withHook();
    const { runId } = task;
    expect(await b.store.webhook(token)).toEqual({
      ...SPEC,
      token,
      runId,
      workflow: b.workflow,
      version: null,
    });
    expect(await b.store.webhook(newToken())).toBeNull();
    expect(await b.store.webhook(token.toUpperCase())).toBeNull();
    await b.commit(task, { next: { to: 'completed', result: '1' } });
    expect(await b.store.webhook(token)).toBeNull();
  });

  it('takes no wait for the event of that name for a webhook', async () => {
    const b = bench();
    const token = newToken();
    await b.waiting(webhookEvent(token));
    expect(await b.store.webhook(token)).toBeNull();
    expect(await b.store.callWebhook(callOf(token))).toBe('gone');
    expect(await b.claim()).toEqual([]);
  });

  it('keeps each token for one webhook', async () => {
    const b = bench();
    const { token } = await withHook('one');
    const task = await b.claimed('two');
    const more = { kind: 'webhook', event: webhookEvent(token), request: writeWebhookSpec(SPEC) } as const;
    await expect(b.commit(task, { rows: [b.fact('hook', 1, '{}', more)] })).rejects.toThrow(
      'workflow_step_webhook',
    );
  });

  const waitFor = (token: string) => bench().journalRow('wait', { kind: 'wait', event: webhookEvent(token) });

  it('keeps calls in the order in which they came, also those of one moment, and wakes the run that waits', async () => {
    const b = bench();
    const { task, token } = await withHook();
    await b.commit(task, { rows: [waitFor(token)], next: { to: 'suspend', dueAt: b.now + 60_000 } });
    const calls = Array.from({ length: 20 }, (_, i) => callOf(token, String(i)));
    for (const [i, call] of calls.entries()) {
      expect(await b.store.callWebhook(call)).toBe('due');
      if (i === 10) b.clock.pass(1);
    }
    const [again] = await b.claim();
    const { inbox, wanted } = await b.load(again!);
    expect(wanted).toBe(20);
    expect(inbox).toMatchObject(
      calls.map(({ eventId, data }) => ({ kind: 'event', event: webhookEvent(token), eventId, data })),
    );
  });

  it('repeated unchanged, keeps a call once', async () => {
    const b = bench();
    const { task, token } = await withHook();
    const call = callOf(token);
    expect(await b.store.callWebhook(call)).toBe('due');
    expect(await b.store.callWebhook(call)).toBe('due');
    expect((await b.load(task)).inbox).toHaveLength(1);
  });

  it('a call while the run is at work leaves it due when it suspends', async () => {
    const b = bench();
    const { task, token } = await withHook();
    const { wanted } = await b.load(task);
    expect(await b.store.callWebhook(callOf(token))).toBe('due');
    expect(await b.commit(task, { wantedSeen: wanted, next: { to: 'suspend', dueAt: null } })).toBe('due');
  });

  it('lets a run sleep on that waits for something else, and is there when it waits for a call', async () => {
    const b = bench();
    const { task, token } = await withHook();
    const other = b.journalRow('other', { kind: 'wait', event: b.id('other'), wakeAt: b.now + 60_000 });
    await b.commit(task, { rows: [other], next: { to: 'suspend', dueAt: b.now + 60_000 } });
    expect(await b.store.callWebhook(callOf(token, '1'))).toBe('kept');
    expect(await b.store.callWebhook(callOf(token, '2'))).toBe('kept');
    expect(await b.claim()).toEqual([]);
    b.clock.pass(60_000);
    const [again] = await b.claim();
    expect(await b.store.callWebhook(callOf(token, '3'))).toBe('due');
    const loaded = await b.load(again!);
    expect(loaded.inbox.map(({ data }) => data)).toEqual(['1', '2', '3']);
    // the third came after what the activation has seen
    const next = { to: 'suspend', dueAt: null } as const;
    expect(await b.commit(again!, { wantedSeen: 2, rows: [waitFor(token)], next })).toBe('due');
    expect(await b.claim()).toHaveLength(1);
  });

  it('writes nothing for a run that has ended, or for a token that never was', async () => {
    const b = bench();
    const { task, token } = await withHook();
    await b.store.cancel({ runIds: [task.runId] });
    expect(await b.store.callWebhook(callOf(token))).toBe('gone');
    expect(await b.store.callWebhook(callOf(newToken()))).toBe('gone');
  });
}
