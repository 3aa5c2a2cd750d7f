import type { Type } from '@nestjs/common';
import type { WorkflowContext } from 'nestjs-workflow';

export type Library = typeof import('nestjs-workflow');

/** What both releases are given to run. Each step gives the name of the release that executed it. */
export function workloadOf(library: Library, release: string, executed: (step: string) => void): Type<any>[] {
  const { Workflow, currentStep } = library;
  const did = (): string => {
    const { runId, step } = currentStep();
    executed(`${runId}/${step}`);
    return release;
  };

  @Workflow({ name: 'packing' })
  class Packing {
    run(ctx: WorkflowContext<string>): Promise<string> {
      return ctx.run('pack', did);
    }
  }

  /** Something of everything that one run hands from process to process. */
  @Workflow({ name: 'trip' })
  class Trip {
    async run(ctx: WorkflowContext): Promise<string[]> {
      const booked = await ctx.run('book', did);
      const both = await Promise.all([ctx.run('hotel', did), ctx.run('car', did)]);
      await ctx.waitForEvent('go', `go ${ctx.runId}`);
      const child = await ctx.invoke('child', Packing, ctx.runId);
      await ctx.sleep('night', '10ms');
      return [booked, ...both, child, await ctx.run('leave', did)];
    }
  }

  @Workflow({ name: 'versioned', version: '1' })
  class Versioned {
    async run(ctx: WorkflowContext): Promise<string[]> {
      const first = await ctx.run('first', did);
      await ctx.waitForEvent('go', `go ${ctx.runId}`);
      return [first, await ctx.run('last', did)];
    }
  }

  /** The newer release says where its code was changed. */
  @Workflow({ name: 'marked' })
  class Marked {
    async run(ctx: WorkflowContext): Promise<string[]> {
      const first = await ctx.run('first', did);
      if (release !== 'previous') ctx.patched('since');
      await ctx.waitForEvent('go', `go ${ctx.runId}`);
      return [first, await ctx.run('last', did)];
    }
  }

  return [Trip, Packing, Versioned, Marked];
}
