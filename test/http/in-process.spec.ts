import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../../lib/errors/index.js';
import { InProcessTransport } from '../../lib/http/index.js';
import { DeliveryError, type DeliveryReply } from '../../lib/ports/index.js';
import { delivery, FakeHandler } from './support.js';

describe('in-process', () => {
  const handler = new FakeHandler();
  const transport = new InProcessTransport(handler);
  const failing = (error: Error): Promise<DeliveryReply> => {
    handler.answer = async () => {
      throw error;
    };
    return transport.deliver(delivery);
  };

  it('gives the reply of the handler', async () => {
    expect(transport.kind).toBe('in-process');
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
  });

  it('has the same fates', async () => {
    await expect(failing(new WorkflowError('WF_NOT_SERVED', 'x'))).rejects.toMatchObject({
      fate: 'not-sent',
    });
    await expect(failing(new WorkflowError('WF_SHUTTING_DOWN', 'x'))).rejects.toMatchObject({
      fate: 'not-sent',
    });
    await expect(failing(new WorkflowError('WF_DATABASE_UNAVAILABLE', 'x'))).rejects.toMatchObject({
      fate: 'failed',
    });
    const cause = new Error('boom');
    const error: unknown = await failing(cause).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DeliveryError);
    expect(error).toMatchObject({
      fate: 'failed',
      cause,
      message: expect.stringContaining('boom') as string,
    });
    await expect(failing(new WorkflowError('WF_STALE_DELIVERY', 'x'))).resolves.toEqual({ next: 'stale' });
  });
});
