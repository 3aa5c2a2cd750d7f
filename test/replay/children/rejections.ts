import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Workflow, WorkflowClient, WorkflowContext, WorkflowModule } from '../../../lib/index.js';

/** Leaves branches behind that reject when nobody looks any more. */
@Workflow({ name: 'abandons', retries: 0 })
class Abandons {
  async run(ctx: WorkflowContext<void>): Promise<string> {
    const no = (name: string): Promise<never> =>
      ctx.run(name, () => Promise.reject(new Error(`${name} rejected`)), { retries: 0 });
    // a call nobody awaits, one behind a wrapper, one that lost its race, and one that is no durable call at all
    void no('bare');
    void (async () => {
      await no('wrapped');
    })();
    void Promise.reject(new Error('plain rejected'));
    const winner = await Promise.race([
      ctx.run('winner', () => 'winner'),
      new Promise<never>(() => {}),
      no('loser').catch(() => new Promise<never>(() => {})),
    ]);
    await Promise.allSettled([ctx.sleep('nap', '50ms')]);
    await ctx.run('in a step', () => {
      void Promise.reject(new Error('step rejected'));
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    return winner;
  }
}

@Module({
  imports: [WorkflowModule.forRoot({ database: { embedded: 'memory' }, transport: 'in-process' })],
  providers: [Abandons],
})
class AppModule {}

const [foreign] = process.argv.slice(2);
const warnings: string[] = [];
const app = await NestFactory.createApplicationContext(AppModule, {
  logger: { log() {}, error() {}, warn: (message: string) => void warnings.push(message) },
});
const run = await app.get(WorkflowClient).trigger(Abandons);
const result = await run.result({ timeout: '20s' });
process.send!({ result, warnings });
if (foreign === 'foreign') {
  // as in any application: outside of a run nobody may swallow it
  void Promise.reject(new Error('foreign rejected'));
  await new Promise((resolve) => setTimeout(resolve, 2000));
}
await app.close();
process.disconnect();
