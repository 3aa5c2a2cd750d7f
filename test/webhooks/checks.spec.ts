import { Logger } from '@nestjs/common';
import { beforeEach, describe, expect, it } from 'vitest';
import { VerifyWebhook, WorkflowError, type WebhookRequest } from 'nestjs-workflow';
import { webhookVerifiersOf, verifierFor } from '../../lib/authoring/index.js';
import { VERIFY_LIMIT_MS, WorkflowWebhooks } from '../../lib/client/webhooks.js';
import { Clock, type Codec, type LiveWebhook, type RunIntake, type RunStore } from '../../lib/ports/index.js';
import { WorkflowRegistry, type WorkflowDefinition } from '../../lib/registry/index.js';
import { liveHook } from '../http/webhook-support.js';

/** A clock whose alarms ring when the test says so. */
class Alarms extends Clock {
  readonly set = new Set<{ ms: number; ring: () => void }>();
  sqlNow(): null {
    return null;
  }
  elapsed(): number {
    return 0;
  }
  after(ms: number, ring: () => void): () => void {
    const alarm = { ms, ring };
    this.set.add(alarm);
    return () => void this.set.delete(alarm);
  }
}

type Check = (request: WebhookRequest) => unknown;

function webhooksWith(
  check: Check | undefined,
  version: string | null = null,
): { intake: WorkflowWebhooks; alarms: Alarms } {
  const registry = new WorkflowRegistry();
  registry.add({
    name: liveHook.workflow,
    version,
    schedules: [],
    verifiers: new Map(check ? [[null, 'check']] : []),
    instance: async () => ({ check }) as never,
  } as Partial<WorkflowDefinition> as WorkflowDefinition);
  const alarms = new Alarms();
  const nothing = {} as RunStore & RunIntake & Codec;
  return { intake: new WorkflowWebhooks(registry, nothing, nothing, nothing, alarms), alarms };
}

const sender = { method: 'POST', headers: {}, query: {}, rawBody: Buffer.from('x') };
const checked: LiveWebhook = { ...liveHook, verify: true };

beforeEach(() => Logger.overrideLogger(false));

describe('the check of a sender', () => {
  it.each([
    [true, 'genuine'],
    [Promise.resolve(true), 'genuine'],
    [false, 'denied'],
    [undefined, 'denied'],
    ['yes', 'denied'],
    [1, 'denied'],
    [Promise.resolve({}), 'denied'],
  ])('that says %j: %s', async (said, verdict) => {
    expect(await webhooksWith(() => said).intake.verify(checked, sender)).toBe(verdict);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('broken');
      },
    ],
    ['rejects', () => Promise.reject(new Error('broken'))],
    [
      'throws what has no text',
      () => {
        throw Object.create(null);
      },
    ],
  ] as const)('that %s has denied', async (_, check) => {
    expect(await webhooksWith(check as Check).intake.verify(checked, sender)).toBe('denied');
  });

  it('that does not end is not waited for', async () => {
    const { intake, alarms } = webhooksWith(() => new Promise(() => {}));
    const verdict = intake.verify(checked, sender);
    await Promise.resolve();
    const [alarm] = alarms.set;
    expect(alarm!.ms).toBe(VERIFY_LIMIT_MS);
    alarm!.ring();
    expect(await verdict).toBe('elsewhere');
    expect(alarms.set.size).toBe(0);
  });

  it('is elsewhere where the workflow, its version or the method is not', async () => {
    expect(await webhooksWith(undefined).intake.verify(checked, sender)).toBe('elsewhere');
    expect(await webhooksWith(() => true, '2').intake.verify(checked, sender)).toBe('elsewhere');
    const other = { ...checked, workflow: 'other' };
    expect(await webhooksWith(() => true).intake.verify(other, sender)).toBe('elsewhere');
  });

  it('is asked also when it came after the webhook, and nobody is asked where there is none', async () => {
    expect(await webhooksWith(() => false).intake.verify(liveHook, sender)).toBe('denied');
    expect(await webhooksWith(undefined).intake.verify(liveHook, sender)).toBe('genuine');
    expect(await webhooksWith(() => false, '2').intake.verify(liveHook, sender)).toBe('genuine');
  });
});

describe('@VerifyWebhook', () => {
  class Base {
    @VerifyWebhook() any(): boolean {
      return false;
    }
    @VerifyWebhook('stripe') stripe(): boolean {
      return false;
    }
  }
  class Derived extends Base {
    @VerifyWebhook('stripe') other(): boolean {
      return true;
    }
  }

  it('is for its name, and without one for all others; a subclass comes before what it inherits', () => {
    const of = (type: { prototype: object }, name: string) =>
      verifierFor(webhookVerifiersOf(type.prototype), name);
    expect([of(Base, 'stripe'), of(Base, 'github')]).toEqual(['stripe', 'any']);
    expect([of(Derived, 'stripe'), of(Derived, 'github')]).toEqual(['other', 'any']);
    expect(of(class {}, 'stripe')).toBeUndefined();
  });

  it('stands once for each name', () => {
    const define = (name?: string): unknown => {
      class Twice {
        @VerifyWebhook(name) one(): boolean {
          return true;
        }
        @VerifyWebhook(name) two(): boolean {
          return true;
        }
      }
      return Twice;
    };
    for (const name of [undefined, 'stripe'])
      expect(() => define(name)).toThrow(expect.objectContaining({ code: 'WF_INVALID_WORKFLOW' }));
    expect(() => VerifyWebhook('')).toThrow(WorkflowError);
  });
});
