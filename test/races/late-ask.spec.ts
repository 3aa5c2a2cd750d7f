import { describe, expect, it } from 'vitest';
import { Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { Probe, type ProbePoint } from '../../lib/ports/probe.js';
import { DATABASES } from '../support/databases.js';
import { boot } from './support.js';

let passGate: () => void;
const gate = new Map<string, Promise<void>>();

@Workflow({ name: 'late-asker' })
class LateAsker {
  /** the second branch awaits something that is not durable, and asks for its step only after that */
  async run(ctx: WorkflowContext): Promise<string> {
    const [, late] = await Promise.all([
      ctx.waitForEvent('never sent before the step', 'go'),
      gate.get(ctx.runId)!.then(() => ctx.run('late', () => ctx.runId)),
    ]);
    return late;
  }
}

/** Lets the code ask while the flush that suspends its run is on its way. */
class AskDuringFlush extends Probe {
  async at(point: ProbePoint): Promise<void> {
    if (point !== 'flush-sent') return;
    passGate();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each(DATABASES)('a step asked during the flush that suspends its run, on $name', (database) => {
  it.each([0, 1000])(
    'is executed without anything else waking the run (%i kept activations)',
    async (parkLimit) => {
      const runId = `late-${database.name}-${parkLimit}`;
      gate.set(runId, new Promise((resolve) => (passGate = resolve)));
      const db = await database.create();
      const one = await boot(db, {
        transport: 'in-process',
        providers: [LateAsker],
        probe: new AskDuringFlush(),
        overrides: { parkLimit },
      });
      try {
        const client = one.get(WorkflowClient);
        const run = await client.trigger(LateAsker, undefined, { runId });
        await expect
          .poll(async () => (await client.journal(runId)).find(({ key }) => key === 'late')?.state, {
            timeout: 20_000,
          })
          .toMatch(/answered|journaled/);
        await run.notify('go', null);
        expect(await run.result({ timeout: '20s' })).toBe(runId);
      } finally {
        await one.app.close();
        await db.dispose();
      }
    },
  );
});
