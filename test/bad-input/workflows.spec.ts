import { Inject, Injectable, Module, Scope, type Provider } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Step, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import { dump, Echo, Go, startApp, WORKFLOWS, type TestApp } from '../client/support.js';

@Workflow({ name: 'not-provided' })
class NotProvided {
  async run(): Promise<number> {
    return 1;
  }
}

class NotMarked {
  async run(): Promise<number> {
    return 1;
  }
}

/** Asks the client for what it may not have, and tells what it was told. */
@Workflow({ name: 'meddles' })
class Meddles {
  constructor(readonly client: WorkflowClient) {}
  async run(ctx: WorkflowContext<string>): Promise<string> {
    const calls: Record<string, () => Promise<unknown>> = {
      trigger: () => this.client.trigger(Echo, 1, { runId: 'meddled' }),
      triggerMany: () => this.client.triggerMany(Echo, [{ payload: 1, runId: 'meddled' }]),
      cancel: () => this.client.cancel('bystander'),
      notify: () => this.client.notify(Go('x'), 'y', { keepFor: '1h' }),
    };
    try {
      await calls[ctx.payload]!();
      return 'done';
    } catch (error) {
      return (error as Error).message;
    }
  }
}

/** The same from where it belongs. */
@Workflow({ name: 'behaves' })
class Behaves {
  constructor(readonly client: WorkflowClient) {}
  async run(ctx: WorkflowContext): Promise<string> {
    return ctx.run('start', async () => (await this.client.trigger(Echo, 1, { runId: 'by a step' })).runId);
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRun {
  constructor(@Inject(REQUEST) readonly request: { runId: string }) {}
}

@Workflow({ name: 'per-request' })
class PerRequest {
  constructor(readonly perRun: PerRun) {}
  async run(ctx: WorkflowContext<string>): Promise<unknown> {
    const stepped = await this.remember(ctx.payload);
    return { stepped, run: this.perRun.request.runId };
  }
  @Step()
  async remember(value: string): Promise<string> {
    return `${value} in ${this.perRun.request.runId}`;
  }
}

let made = 0;
@Workflow({ name: 'scoped' })
@Injectable({ scope: Scope.REQUEST })
class Scoped {
  readonly number = ++made;
  async run(): Promise<number> {
    return this.number;
  }
}

describe.each(DATABASES)('a workflow that is not there, on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await create();
    test = await startApp(db, {
      providers: [...WORKFLOWS, Meddles, Behaves, PerRun, PerRequest, Scoped],
    });
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  it.each([
    [
      'a name that nobody has',
      'no-such',
      'WF_UNKNOWN_WORKFLOW',
      'Workflow "no-such" is not known here (known: ',
    ],
    [
      'a class that is marked but not provided',
      NotProvided,
      'WF_UNKNOWN_WORKFLOW',
      'Workflow class NotProvided is marked @Workflow but not provided.',
    ],
    [
      'a class that is not marked',
      NotMarked,
      'WF_UNKNOWN_WORKFLOW',
      'Class NotMarked is not marked @Workflow.',
    ],
  ])('%s is refused, with what to do', async (_what, workflow, code, said) => {
    const before = await dump(test);
    const refused = {
      code,
      message: expect.stringMatching(
        /Add the class to the `providers` of a module that this process loads\. \[WF_UNKNOWN_WORKFLOW\]$/,
      ),
    };
    for (const start of [
      () => test.client.trigger(workflow, undefined),
      () => test.client.triggerMany(workflow, [{ payload: undefined }]),
    ]) {
      await expect(start()).rejects.toMatchObject(refused);
      await expect(start()).rejects.toThrow(said);
    }
    expect(await dump(test)).toEqual(before);
  });

  it.each([[undefined], [null], [7], [{}]])('%j is no workflow', async (workflow) => {
    await expect(test.client.trigger(workflow as string)).rejects.toMatchObject({
      code: 'WF_INVALID_ARGUMENT',
      message: expect.stringContaining('A workflow is given by its class or its name. Correct the argument.'),
    });
  });

  it.each(['trigger', 'triggerMany', 'cancel', 'notify'])(
    'client.%s in run is refused: each replay would repeat it',
    async (call) => {
      const run = await test.client.trigger(Meddles, call, { runId: `meddles ${call}` });
      expect(await run.result()).toBe(
        `client.${call} is called in run of workflow "meddles" (meddles ${call}), where each replay would repeat it. ` +
          'Use ctx.trigger, ctx.invoke or ctx.notify, or call the client inside a step. [WF_SIDE_EFFECT_IN_RUN]',
      );
      await expect(test.client.get('meddled')).rejects.toMatchObject({ code: 'WF_RUN_NOT_FOUND' });
      expect((await dump(test))['workflow_message']).toEqual([]);
    },
  );

  it('the client in a step of the same workflow is welcome', async () => {
    expect(await (await test.client.trigger(Behaves)).result()).toBe('by a step');
    expect(await test.client.run(Echo, 'by a step').result()).toBe(1);
  });

  it('a workflow that is request-scoped itself works, whichever decorator stands first', async () => {
    const runs = await Promise.all([test.client.trigger(Scoped), test.client.trigger(Scoped)]);
    const [a, b] = await Promise.all(runs.map((run) => run.result()));
    expect(a).not.toBe(b);
  });

  it('a workflow with a request-scoped dependency works: a new instance for each run, with the run as its request', async () => {
    const runs = await Promise.all(
      ['a', 'b'].map((id) => test.client.trigger(PerRequest, id, { runId: `scoped ${id}` })),
    );
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual([
      { stepped: 'a in scoped a', run: 'scoped a' },
      { stepped: 'b in scoped b', run: 'scoped b' },
    ]);
  });
});

describe('an application whose workflows are wrong does not start', () => {
  let db: TestDatabase;
  let test: TestApp | undefined;
  beforeAll(async () => {
    db = await createPostgres();
  });
  afterEach(async () => {
    await test?.close();
    test = undefined;
  });
  afterAll(() => db?.dispose());

  @Workflow({ name: 'echo' })
  class Impostor {
    async run(): Promise<number> {
      return 1;
    }
  }

  @Workflow({ name: 'idle' })
  class Idle {
    run!: () => Promise<number>;
  }

  it.each<[string, Provider[], string, string]>([
    [
      'a name that two classes have',
      [Echo, Impostor],
      'WF_DUPLICATE_WORKFLOW',
      'Workflow name "echo" is used by Echo and by Impostor. Give each @Workflow class a name (or version) of its own',
    ],
    [
      'a class that is provided under two tokens',
      [Echo, { provide: 'again', useClass: Echo }],
      'WF_DUPLICATE_WORKFLOW',
      'Workflow class Echo ("echo") is provided twice. Give each',
    ],
    [
      'a class without run',
      [Idle],
      'WF_INVALID_WORKFLOW',
      'Class Idle is marked @Workflow("idle") and has no method run. A @Workflow class needs one async `run(ctx)` method.',
    ],
  ])('%s', async (_what, providers, code, said) => {
    const starting = startApp(db, { providers });
    await expect(starting).rejects.toMatchObject({ code, message: expect.stringContaining(said) });
  });

  it('a class that two modules provide', async () => {
    @Module({ providers: [Echo] })
    class One {
      readonly name = 'one';
    }
    @Module({ providers: [Echo] })
    class Two {
      readonly name = 'two';
    }
    await expect(startApp(db, { imports: [One, Two], providers: [] })).rejects.toMatchObject({
      code: 'WF_DUPLICATE_WORKFLOW',
      message: expect.stringContaining('Workflow class Echo ("echo") is provided twice.'),
    });
  });

  it('but an alias of a provided class is no second one', async () => {
    test = await startApp(db, {
      providers: [...WORKFLOWS, { provide: 'ALIAS', useExisting: Echo }],
    });
    expect(await (await test.client.trigger(Echo, 5)).result()).toBe(5);
  });

  it.each([
    ['an empty name', { name: '' }, 'WF_INVALID_ARGUMENT'],
    ['a name with a NUL', { name: 'a\0b' }, 'WF_INVALID_ARGUMENT'],
    ['a name that is too long', { name: 'x'.repeat(513) }, 'WF_INVALID_ARGUMENT'],
    ['no name', {}, 'WF_INVALID_ARGUMENT'],
    ['a version with a NUL', { name: 'x', version: 'a\0b' }, 'WF_INVALID_ARGUMENT'],
    ['a timeout without a unit', { name: 'x', timeout: '5' }, 'WF_INVALID_DURATION'],
    ['a number of retries that is none', { name: 'x', retries: -1 }, 'WF_INVALID_OPTIONS'],
    ['a step timeout that is none', { name: 'x', stepDefaults: { timeout: 'soon' } }, 'WF_INVALID_DURATION'],
    [
      'a backoff that shrinks',
      { name: 'x', stepDefaults: { backoff: { factor: 0.5 } } },
      'WF_INVALID_OPTIONS',
    ],
    [
      'a delay that would be executed',
      { name: 'x', retryDelay: 'process.exit(retried)' },
      'WF_INVALID_OPTIONS',
    ],
    [
      'a delay and a backoff',
      { name: 'x', stepDefaults: { retryDelay: '1s', backoff: {} } },
      'WF_INVALID_OPTIONS',
    ],
  ])('@Workflow with %s throws where the class is defined', (_what, options, code) => {
    expect(() => Workflow(options as { name: string })(NotMarked)).toThrow(expect.objectContaining({ code }));
  });

  it('@Step with options that are none, or on what is no method, throws where the class is defined', () => {
    const bad = (options: unknown) => () => Step(options as object);
    expect(bad({ retries: 1.5 })).toThrow(expect.objectContaining({ code: 'WF_INVALID_OPTIONS' }));
    expect(bad({ timeout: '1 minute' })).toThrow(expect.objectContaining({ code: 'WF_INVALID_DURATION' }));
    expect(bad({ name: 'a\0b' })).toThrow(expect.objectContaining({ code: 'WF_INVALID_ARGUMENT' }));
    const decorate = Step() as (proto: object, method: string, descriptor: PropertyDescriptor) => void;
    expect(() => decorate(NotMarked.prototype, 'field', { value: 1 })).toThrow(
      '@Step() on NotMarked.field, which is not a method. Put @Step() on an async method of a class.',
    );
  });
});
