import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_WEBHOOK_METHODS,
  isWebhookToken,
  readWebhookSpec,
  WEBHOOK_METHODS,
  WEBHOOK_TOKEN_BYTES,
  webhookEvent,
  writeWebhookSpec,
} from './webhook.js';

describe('a webhook', () => {
  it('is known by the token that its bytes make, and by nothing else', () => {
    for (let i = 0; i < 200; i++)
      expect(isWebhookToken(randomBytes(WEBHOOK_TOKEN_BYTES).toString('base64url'))).toBe(true);
    const good = 'a'.repeat(32);
    for (const bad of [
      '',
      'a',
      `${good}a`,
      good.slice(1),
      `${good}\n`,
      `${good.slice(1)}%`,
      `${good.slice(1)}ä`,
    ])
      expect(isWebhookToken(bad)).toBe(false);
    expect(webhookEvent(good)).toBe(`webhook:${good}`);
  });

  it('keeps its options, and nothing that was with them', () => {
    const spec = { name: 'approval "link"', methods: ['POST'], verify: true };
    expect(readWebhookSpec(writeWebhookSpec({ ...spec, other: 1 } as typeof spec))).toEqual(spec);
  });

  it('takes no GET unless it is asked to', () => {
    expect(WEBHOOK_METHODS).toEqual(expect.arrayContaining([...DEFAULT_WEBHOOK_METHODS]));
    expect(DEFAULT_WEBHOOK_METHODS).not.toContain('GET');
    expect(DEFAULT_WEBHOOK_METHODS).not.toContain('DELETE');
  });
});
