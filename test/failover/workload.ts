import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { currentStep, Step, Workflow, type WorkflowContext } from '../../lib/index.js';

/** One execution of a step, told before it gives its result. */
export interface Executed {
  readonly runId: string;
  readonly execution: string;
  readonly key: string;
  readonly attempt: number;
  readonly startedAt: number;
  /** what the step before gave: whoever was told so saw that step acknowledged */
  readonly given: readonly string[];
}

export const TELL = Symbol('TELL');
export type Tell = (executed: Executed) => void;

@Injectable()
export class Links {
  constructor(@Inject(TELL) private readonly tell: Tell) {}

  /** Another result each time that it is executed. */
  @Step({ retries: 0 })
  async link(given: readonly string[], ms: number): Promise<string> {
    const { runId, idempotencyKey, step, attempt } = currentStep();
    const execution = idempotencyKey.split('/').at(-2)!;
    this.tell({ runId, execution, key: step, attempt, startedAt: Date.now(), given });
    await pause(ms);
    return `${step} ${randomUUID()}`;
  }
}

/** Each link is given what those before it gave; in the middle two are made at a time. */
@Workflow({ name: 'chain' })
export class Chain {
  constructor(private readonly links: Links) {}

  async run(ctx: WorkflowContext<number>): Promise<string[]> {
    const chain: string[] = [];
    for (let i = 0; i < 3; i++) chain.push(await this.links.link([...chain], 10 + (ctx.payload % 5) * 10));
    chain.push(...(await Promise.all([0, 1].map((i) => this.links.link([...chain], 10 + i * 20)))));
    await ctx.sleep('nap', '50ms');
    for (let i = 0; i < 3; i++) chain.push(await this.links.link([...chain], 10));
    return chain;
  }
}
