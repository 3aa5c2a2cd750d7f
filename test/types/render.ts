import { Injectable } from '@nestjs/common';
import { expectTypeOf } from 'vitest';
import { Step, Workflow, WorkflowContext, type PollResult } from 'nestjs-workflow';

@Injectable()
class Render {
  @Step() async submit(file: string) {
    return { jobId: file };
  }
  async status(id: string): Promise<{ done: boolean; url?: string }> {
    return { done: !!id };
  }
}

@Workflow({ name: 'render' })
export class RenderVideo {
  constructor(private readonly render: Render) {}

  async run(ctx: WorkflowContext<{ file: string }>) {
    const { jobId } = await this.render.submit(ctx.payload.file);
    const ready = await ctx.poll(
      'ready',
      async () => {
        const status = await this.render.status(jobId);
        return status.done ? status.url! : undefined;
      },
      { every: '30s', timeout: '6h' },
    );
    expectTypeOf(ready).toEqualTypeOf<PollResult<string>>();
    // @ts-expect-error it may have timed out
    const early: string = ready.value;
    if (!ready.timedOut) {
      const url: string = ready.value;
      return url;
    }
    const nothing: undefined = ready.value;
    void [early, nothing];
    for (;;) {
      const status = await ctx.run('status', () => this.render.status(jobId));
      if (status.done) return status.url;
      await ctx.sleep('pause', '30s');
    }
  }
}

export async function refused(ctx: WorkflowContext<void>) {
  const look = async () => 1;
  await ctx.poll('fine', look, { every: '30s', timeout: '6h', retries: 9, retryDelay: 'retried * 5' });
  await ctx.poll('typed', (step) => Promise.resolve(step.attempt), { every: '30s', timeout: '6h' });
  // @ts-expect-error for ever is not offered
  await ctx.poll('for ever', look, { every: '30s' });
  // @ts-expect-error how often?
  await ctx.poll('how often', look, { timeout: '6h' });
  // @ts-expect-error a bare number is no duration
  await ctx.poll('bare', look, { every: 30, timeout: '6h' });
  // @ts-expect-error a look is async
  await ctx.poll('sync', () => 1, { every: '30s', timeout: '6h' });
}
