import 'reflect-metadata';
import { Global, Injectable, Module, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import {
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  defineEvent,
} from 'nestjs-workflow';
import { EMBEDDED_DUMP } from '../../lib/workflow.persistence.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';

const Paid = defineEvent<{ amount: number }>('paid');

@Injectable()
class Steps {
  calls: string[] = [];
  @Step() async one(n: number) {
    this.calls.push(`one ${n}`);
    return n + 1;
  }
}

@Workflow({ name: 'first' })
class First {
  constructor(readonly steps: Steps) {}
  async run(ctx: WorkflowContext<{ id: string }>) {
    const a = await this.steps.one(1);
    const [b, c] = await Promise.all([this.steps.one(a), this.steps.one(10)]);
    await ctx.sleep('nap', '20ms');
    const paid = await ctx.waitForEvent('payment', Paid(ctx.payload.id), { timeout: '1m' });
    return { a, b, c, paid: paid.timedOut ? -1 : paid.data.amount };
  }
}

function dumpOf(db: TestDatabase): new () => object {
  @Global()
  @Module({ providers: [{ provide: EMBEDDED_DUMP, useValue: db.loadDataDir }], exports: [EMBEDDED_DUMP] })
  class DumpModule {}
  return DumpModule;
}

describe.each(DATABASES)('a first run on $name', (database) => {
  let app: INestApplication | undefined;
  afterEach(() => app?.close());

  it.each(['in-process', 'http'] as const)('goes end to end, %s', async (transport) => {
    const db = await database.create();
    const module = await Test.createTestingModule({
      imports: [dumpOf(db), WorkflowModule.forRoot({ database: db.options, transport })],
      providers: [First, Steps],
    }).compile();
    app = module.createNestApplication();
    await app.listen(0);
    const run = await app.get(WorkflowClient).trigger(First, { id: 'x' }, { runId: 'r1' });
    await run.notify(Paid('x'), { amount: 7 });
    expect(await run.result({ timeout: '20s' })).toEqual({ a: 2, b: 3, c: 11, paid: 7 });
    expect(app.get(Steps).calls.toSorted()).toEqual(['one 1', 'one 10', 'one 2']);
    await app.close();
    await db.dispose();
  });
});
