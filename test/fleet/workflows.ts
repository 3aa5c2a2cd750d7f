import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { currentStep, Step, Workflow, WorkflowContext } from '../../lib/index.js';
import type { Execution } from './protocol.js';

/** Each execution leaves a line that no crash and no restart of the database takes back. */
@Injectable()
export class Ledger {
  file = '';

  begin(): void {
    const { runId, step } = currentStep();
    const line: Execution = { runId, step, pid: process.pid, began: Date.now() };
    appendFileSync(this.file, `${JSON.stringify(line)}\n`);
  }

  /** How often the step has begun, in whichever process. */
  get times(): number {
    const { runId, step } = currentStep();
    return executionsIn(this.file).filter((one) => one.runId === runId && one.step === step).length;
  }
}

export const executionsIn = (file: string): Execution[] =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Execution)
    : [];

export interface Blocking {
  readonly ms: number;
  /** with work, as real steps do; otherwise the thread stands still */
  readonly busy: boolean;
}

@Injectable()
export class Steps {
  constructor(readonly ledger: Ledger) {}

  /** No timer fires, no packet is read. A second execution blocks nothing. */
  @Step() async block({ ms, busy }: Blocking): Promise<number> {
    this.ledger.begin();
    if (this.ledger.times > 1) return process.pid;
    if (busy) for (const end = performance.now() + ms; performance.now() < end;);
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    return process.pid;
  }

  /** Until the test lets it go. */
  @Step() async long(): Promise<number> {
    this.ledger.begin();
    const { signal } = currentStep();
    while (!existsSync(`${this.ledger.file}.go`)) await pause(10, undefined, { signal });
    return process.pid;
  }

  @Step() async short(ms: number): Promise<number> {
    this.ledger.begin();
    await pause(ms);
    return process.pid;
  }

  @Step() async left(ms: number): Promise<number> {
    return this.short(ms);
  }

  @Step() async right(ms: number): Promise<number> {
    return this.short(ms);
  }
}

@Workflow({ name: 'blocks' })
export class Blocks {
  constructor(readonly steps: Steps) {}
  async run(ctx: WorkflowContext<Blocking>): Promise<number[]> {
    return [await this.steps.block(ctx.payload), await this.steps.short(0)];
  }
}

@Workflow({ name: 'takes-long' })
export class TakesLong {
  constructor(readonly steps: Steps) {}
  async run(_ctx: WorkflowContext<void>): Promise<number[]> {
    return [await this.steps.long(), await this.steps.short(0)];
  }
}

/** Seven executions: alone, side by side, after a wait. */
@Workflow({ name: 'mixed' })
export class Mixed {
  constructor(readonly steps: Steps) {}
  async run(ctx: WorkflowContext<{ ms: number }>): Promise<number> {
    const { steps } = this;
    const { ms } = ctx.payload;
    await steps.short(ms);
    await Promise.all([steps.left(ms), steps.right(ms)]);
    await steps.short(ms);
    await ctx.sleep('nap', '50ms');
    await Promise.all([steps.left(ms), steps.right(ms)]);
    await steps.short(ms);
    return ctx.payload.ms;
  }
}

export const WORKFLOWS = [Ledger, Steps, Blocks, TakesLong, Mixed];
