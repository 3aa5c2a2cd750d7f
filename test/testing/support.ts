import type { INestApplicationContext, Provider } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { afterEach } from 'vitest';
import { WorkflowClient } from 'nestjs-workflow';
import { WorkflowBench, WorkflowTestingModule } from 'nestjs-workflow/testing';

export interface Booted<App = TestingModule> {
  readonly module: App;
  readonly bench: WorkflowBench;
  readonly client: WorkflowClient;
}

const open = new Set<INestApplicationContext>();
afterEach(async () => {
  for (const module of open) await module.close();
  open.clear();
});

/** Initializes it, and closes it after the test. */
export async function started<App extends INestApplicationContext>(module: App): Promise<Booted<App>> {
  open.add(module);
  await module.init();
  return { module, bench: WorkflowBench.of(module), client: module.get(WorkflowClient) };
}

/** An application of these providers. */
export async function boot(
  providers: Provider[],
  options?: Parameters<typeof WorkflowTestingModule.forRoot>[0],
): Promise<Booted> {
  const builder = Test.createTestingModule({ imports: [WorkflowTestingModule.forRoot(options)], providers });
  return started(await builder.compile());
}

/** A promise and its end: what tests wait for instead of sleeping. */
export class Gate {
  open!: () => void;
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}
