import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Module, type DynamicModule, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import ts from 'typescript';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { WorkflowClient, WorkflowScheduler } from 'nestjs-workflow';
import { parseDuration, type Duration } from '../lib/engine/duration.js';
import { DEFAULT_RETRY } from '../lib/engine/retry.js';
import { Clock } from '../lib/ports/index.js';
import { SystemClock } from '../lib/runtime/system-clock.js';
import { resolveConfig } from '../lib/workflow.config.js';
import { EMBEDDED_DUMP } from '../lib/workflow.persistence.js';
import { WORKFLOW_OPTIONS } from '../lib/workflow.tokens.js';
import { DATABASES, type TestDatabase } from './support/databases.js';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const FOLDER = join(ROOT, 'test', '.readme');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** The TypeScript blocks by the file name in their first line. */
const BLOCKS = new Map(
  [...README.matchAll(/^```ts\n\/\/ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [name!, text!]),
);

// no name that the test runner would take for a spec of its own
const fileOf = (name: string): string => join(FOLDER, name.replace('.spec.ts', '.test-of-readme.ts'));
const load = async (name: string): Promise<any> =>
  import(/* @vite-ignore */ pathToFileURL(fileOf(name)).href);

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER);
writeFileSync(join(FOLDER, '.gitignore'), '*\n');
for (const [name, text] of BLOCKS) writeFileSync(fileOf(name), text);
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

describe('the TypeScript in the README', () => {
  it('has a file name in each block', () => {
    expect([...BLOCKS.keys()]).toEqual([
      'fulfil-order.ts',
      'app.module.ts',
      'main.ts',
      'refund.workflow.ts',
      'render.workflow.ts',
      'charge.workflow.ts',
      'campaign.workflow.ts',
      'expense.workflow.ts',
      'nightly.workflow.ts',
      'trip.workflow.ts',
      'meter.workflow.ts',
      'import.workflow.ts',
      'reminder.spec.ts',
    ]);
    expect(README.match(/^```(ts|typescript|js)\b/gm)).toHaveLength(BLOCKS.size);
  });

  it('shows a workflow in some thirty lines', () => {
    expect(BLOCKS.get('fulfil-order.ts')!.trimEnd().split('\n').length).toBeLessThanOrEqual(30);
  });

  it('compiles under the strictest rules', () => {
    const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
    expect(options).toMatchObject({ strict: true, emitDecoratorMetadata: true, isolatedModules: true });
    const program = ts.createProgram([...BLOCKS.keys()].map(fileOf), options);
    const errors = ts
      .getPreEmitDiagnostics(program)
      .map(
        ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      );
    expect(errors).toEqual([]);
  }, 120_000);
});

/** A new PGlite starts from it in half a second instead of three. */
@Module({})
class Dump {}
const dumpOf = ({ loadDataDir }: TestDatabase): DynamicModule => ({
  module: Dump,
  global: true,
  providers: [{ provide: EMBEDDED_DUMP, useValue: loadDataDir }],
  exports: [EMBEDDED_DUMP],
});

describe.each(DATABASES)('the example of the README on $name', ({ create }) => {
  let app: INestApplication | undefined;
  let database: TestDatabase;
  let ahead = 0;

  afterEach(async () => {
    await app?.close();
    await database.dispose();
  });

  async function start(transport: 'http' | 'in-process'): Promise<INestApplication> {
    database = await create();
    ahead = 0;
    const clock = Object.assign(new SystemClock(), { sqlNow: () => new Date(Date.now() + ahead) });
    const { AppModule } = await load('app.module.ts');
    const module = await Test.createTestingModule({ imports: [dumpOf(database), AppModule] })
      .overrideProvider(WORKFLOW_OPTIONS)
      .useValue({ database: database.options, transport })
      .overrideProvider(Clock)
      .useValue(clock)
      .compile();
    app = module.createNestApplication({ logger: ['error'] });
    await app.listen(0, '127.0.0.1');
    return app;
  }

  it.each(['http', 'in-process'] as const)('goes from order to payment to its end, %s', async (transport) => {
    const running = await start(transport);
    const url = await running.getUrl();
    const post = async (path: string, body: unknown): Promise<any> => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
      return { status: answer.status, body: await answer.json() };
    };
    const order = { id: '7', total: 12 };
    expect(await post('/orders', order)).toEqual({ status: 201, body: { id: '7' } });
    expect(await post('/orders', order)).toEqual({ status: 201, body: { id: '7' } });
    expect((await post('/orders/7/payment', { card: 'visa' })).status).toBe(201);

    const client = running.get(WorkflowClient);
    const asleep = async (): Promise<boolean> =>
      (await client.journal('7')).some(({ kind, state }) => kind === 'sleep' && state === 'pending');
    await expect.poll(asleep, { timeout: 10_000 }).toBe(true);
    ahead = parseDuration('1h');
    running.get(WorkflowScheduler).wake();
    expect(await client.run('fulfil-order', '7').result({ timeout: '10s' })).toEqual({ chargeId: 'visa-12' });
    const shown = await (await fetch(`${url}/orders/7`)).json();
    expect(shown).toMatchObject({ status: 'completed', result: { chargeId: 'visa-12' } });
  });
});

describe('the test that the README shows', async () => {
  await load('reminder.spec.ts');
});

describe('the options table of the README', () => {
  const section = README.slice(README.indexOf('\n## Options'), README.indexOf('\n## Where the database'));
  const rows = new Map(
    [...section.matchAll(/^\| `([\w.]+)` \| (.+?) \| (.+?) \|$/gm)].map(([, name, value]) => [name!, value!]),
  );

  it('names every option, and no other', () => {
    expect([...rows.keys()].toSorted()).toEqual([...declared().keys()].toSorted());
  });

  it('has the defaults that apply', () => {
    const config = resolveConfig({});
    const literal = (name: string): unknown => {
      const text = /^`(.+)`$/.exec(rows.get(name)!)?.[1];
      return text?.startsWith("'") ? text.slice(1, -1) : Number(text);
    };
    const ms = (name: string): number => parseDuration(literal(name) as Duration);
    expect(config).toMatchObject({
      worker: true,
      concurrency: literal('worker.concurrency'),
      pollMs: ms('worker.pollInterval'),
      heartbeatMs: ms('worker.heartbeat'),
      leaseTimeoutMs: ms('worker.leaseTimeout'),
      shutdownGraceMs: ms('worker.shutdownGrace'),
      stepsPerCall: literal('http.stepsPerCall'),
      maxPayloadBytes: literal('maxPayloadBytes'),
      calls: {
        timeoutMs: ms('http.calls.timeout'),
        maxResponseBytes: literal('maxPayloadBytes'),
        concurrency: literal('http.calls.concurrency'),
      },
      maxSteps: literal('maxSteps'),
    });
    expect(literal('steps.retries')).toBe(DEFAULT_RETRY.retries);
    expect(DEFAULT_RETRY).toMatchObject({ initialMs: 1000, factor: 2, maxMs: 300_000, jitter: true });
    expect(rows.get('steps.backoff')).toBe('1 s, doubling up to 5 min, with jitter');
  });

  it('has the defaults that the options declare', () => {
    const told = [...declared()].filter(
      ([, value]) => value !== undefined && /^['\d]|^(true|false)/.test(value),
    );
    expect(told.length).toBeGreaterThan(10);
    const first = told.map(([name, value]) => [name, `\`${/^('[^']*'|\S+)/.exec(value!)![0]}\``]);
    expect(first).toEqual(told.map(([name]) => [name, rows.get(name)]));
  });
});

/** The options as lib/workflow.options.ts declares them, with what its comments say of their defaults. */
function declared(): Map<string, string | undefined> {
  const path = join(ROOT, 'lib/workflow.options.ts');
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const interfaces = new Map(
    source.statements.filter(ts.isInterfaceDeclaration).map((i) => [i.name.text, i]),
  );
  const found = new Map<string, string | undefined>();
  const collect = (name: string, prefix: string): void => {
    for (const member of interfaces.get(name)!.members) {
      const own = prefix + member.name!.getText();
      const tag = ts.getJSDocTags(member).find(({ tagName }) => tagName.text === 'default');
      if (!['http', 'http.calls', 'steps'].includes(own))
        found.set(own, ts.getTextOfJSDocComment(tag?.comment));
    }
  };
  collect('WorkflowModuleOptions', '');
  collect('WorkflowHttpOptions', 'http.');
  collect('WorkflowCallOptions', 'http.calls.');
  collect('WorkflowWorkerOptions', 'worker.');
  collect('WorkflowModuleExtras', '');
  // `steps` is RetryOptions and a timeout
  for (const name of ['retries', 'backoff', 'retryDelay', 'timeout']) found.set(`steps.${name}`, undefined);
  return found;
}
