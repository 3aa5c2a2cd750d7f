import { appendFileSync } from 'node:fs';
import { Injectable } from '@nestjs/common';
import { currentStep, defineEvent, Step, Workflow, type WorkflowContext } from 'nestjs-workflow';

// A user's application, compiled and started against the packed package: see ../matrix.ts.

export type Order = { items: string[] };
export const Paid = defineEvent<{ amount: number }>('paid');

@Injectable()
export class Warehouse {
  @Step({ retries: 2, backoff: { initial: '10ms' } })
  async pack(item: string): Promise<string> {
    note(`pack ${item}`);
    if (item === 'glass' && currentStep().attempt === 1) throw new Error('broken');
    return `packed ${item}`;
  }

  /** Its process dies in the middle, the first time. */
  @Step() async ship(boxes: string[]): Promise<Map<string, Date>> {
    note('ship');
    if (process.env['DIES']) process.kill(process.pid, 'SIGKILL');
    return new Map(boxes.map((box) => [box, new Date(0)]));
  }
}

@Workflow({ name: 'label' })
export class PrintLabel {
  async run(ctx: WorkflowContext<{ for: string }>): Promise<string> {
    return ctx.run('print', async () => `label for ${ctx.payload.for}`);
  }
}

@Workflow({ name: 'order' })
export class PlaceOrder {
  constructor(private readonly warehouse: Warehouse) {}

  async run(ctx: WorkflowContext<Order>) {
    const boxes = await Promise.all(ctx.payload.items.map((item) => this.warehouse.pack(item)));
    await ctx.sleep('glue dries', '50ms');
    const label = await ctx.invoke('label', PrintLabel, { for: ctx.runId });
    const paid = await ctx.waitForEvent('payment', Paid(ctx.runId), { timeout: '1h' });
    const shipped = await this.warehouse.ship(boxes);
    return { boxes, label, paid: paid.timedOut ? 0 : paid.data.amount, shipped: shipped.size };
  }
}

/** Executions outlive the process that is killed. */
function note(what: string): void {
  const file = process.env['EXECUTED'];
  if (file !== undefined) appendFileSync(file, `${what}\n`);
}
