import { setTimeout as pause } from 'node:timers/promises';
import { Workflow, type FlowControl, type WorkflowContext } from '../../lib/index.js';

/** One step, a little while. */
@Workflow({ name: 'under-fire' })
export class UnderFire {
  async run(ctx: WorkflowContext<number>): Promise<number> {
    return ctx.run('work', async () => {
      await pause(ctx.payload % 4);
      return ctx.payload;
    });
  }
}

/** Limits of all kinds. */
export function limitsOf(n: number): FlowControl & { parallelism?: number; rate?: number } {
  const key = `key-${n}`;
  const rates = { rate: 30 + n, period: '300ms' } as const;
  if (n % 3 === 0) return { key, parallelism: 1 + (n % 4) };
  return n % 3 === 1 ? { key, ...rates } : { key, parallelism: 2 + (n % 3), ...rates };
}
