import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { startCluster } from '../support/postgres-cluster.js';
import { CELLS, JEST_CONFIG, packageOf, tsconfigOf, VITEST_CONFIG, type Cell } from './cells.js';

// `npm run check:matrix`: the packed package in the hands of users. Runs from dist-tools/test/packages; see cells.ts.

const ROOT = join(import.meta.dirname, '../../..');
/** Cells at a time: installing waits for the network, compiling for the processor. */
const LANES = 2;
const COLUMNS = ['install', 'types', 'pglite', 'postgres', 'tests'] as const;
const RESULT = {
  boxes: ['packed glass', 'packed book'],
  label: 'label for order-1',
  paid: 12,
  shipped: 2,
};
/** Glass broke once, and the process died once while it shipped; all else was executed once. */
const EXECUTED = ['pack book', 'pack glass', 'pack glass', 'ship', 'ship'];

interface Exit {
  readonly code: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly all: string;
}

function run(
  cwd: string,
  command: string,
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
): Promise<Exit> {
  return new Promise((resolve, reject) => {
    // nothing of the npm that started this: a user's folder is no part of this repository
    const inherited = Object.entries(process.env).filter(
      ([name]) => !/^(npm_(package|lifecycle)|INIT_CWD|NODE_OPTIONS|DATABASE_URL)/i.test(name),
    );
    const env = { ...Object.fromEntries(inherited), ...more };
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, all] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => ((stdout += chunk), (all += chunk)));
    child.stderr.on('data', (chunk: Buffer) => (all += chunk));
    child
      .once('error', reject)
      .once('close', (code, signal) => resolve({ code: signal ?? code, stdout, all }));
  });
}

async function succeed(...args: Parameters<typeof run>): Promise<Exit> {
  const exit = await run(...args);
  if (exit.code !== 0)
    throw new Error(`${args[1]} ${args[2].join(' ')} ended with ${exit.code}\n${exit.all}`);
  return exit;
}

function prepare(cell: Cell, folder: string, tarball: string): void {
  cpSync(join(ROOT, 'test/packages/app'), join(folder, 'src'), { recursive: true });
  const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
  writeFileSync(join(folder, 'package.json'), json(packageOf(cell, tarball)));
  writeFileSync(join(folder, 'tsconfig.json'), json(tsconfigOf(cell)));
  if (cell.tests === 'vitest') writeFileSync(join(folder, 'vitest.config.ts'), VITEST_CONFIG);
  if (cell.tests !== 'jest') return;
  writeFileSync(join(folder, 'jest.config.js'), JEST_CONFIG);
  const test = join(folder, 'src/order.test.ts');
  writeFileSync(test, readFileSync(test, 'utf8').replace("'vitest'", "'@jest/globals'"));
}

/** One process that dies in the middle of a run, and one that goes on. */
async function application(folder: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const executed = join(folder, `executed-${args.join('-').replaceAll('/', '_')}`);
  const first = await run(folder, 'node', ['dist/main.js', ...args], {
    ...env,
    EXECUTED: executed,
    DIES: '1',
  });
  if (first.code !== 'SIGKILL') throw new Error(`The first process did not die in its step:\n${first.all}`);
  const second = await succeed(folder, 'node', ['dist/main.js', ...args], { ...env, EXECUTED: executed });
  const got: unknown = JSON.parse(second.stdout.trim().split('\n').at(-1)!);
  const wanted = { result: RESULT, transport: 'http', status: 'completed' };
  if (!isDeepStrictEqual(got, wanted)) throw new Error(`Got ${JSON.stringify(got)}\n${second.all}`);
  const lines = readFileSync(executed, 'utf8').trim().split('\n').toSorted();
  if (!isDeepStrictEqual(lines, EXECUTED)) throw new Error(`Executed ${lines.join(', ')}`);
}

async function check(cell: Cell, work: string, tarball: string, server: string): Promise<readonly string[]> {
  const folder = join(work, cell.name.replaceAll(/\W+/g, '-').toLowerCase());
  mkdirSync(folder);
  prepare(cell, folder, tarball);
  const row: string[] = [];
  const timed = async (what: string, step: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    await step();
    row.push(`${what} ${((performance.now() - started) / 1000).toFixed(1)} s`.trim());
  };
  await timed('', () =>
    succeed(folder, 'npm', [
      'install',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      '--no-package-lock',
      '--loglevel=error',
    ]),
  );
  await timed(`TS ${cell.typescript} ${cell.module}`, () => succeed(folder, 'npx', ['tsc']));
  await timed(cell.adapters.pglite, () =>
    application(folder, [cell.adapters.pglite, join(folder, 'pglite')], {}),
  );
  await timed(cell.adapters.postgres, async () => {
    const database = new URL(server);
    database.pathname = `/${folder.split('/').at(-1)!.replaceAll('-', '_')}`;
    const client = new pg.Client({ connectionString: server });
    await client.connect();
    await client.query(`create database ${database.pathname.slice(1)}`);
    await client.end();
    await application(folder, [cell.adapters.postgres], { DATABASE_URL: database.href });
  });
  const { tests } = cell;
  if (!tests) return [...row, '–'];
  const jest = tests === 'jest';
  // PGlite is loaded by import(), which jest has behind this option alone
  const env = jest ? { NODE_OPTIONS: '--experimental-vm-modules' } : {};
  await timed(tests, () => succeed(folder, 'npx', jest ? ['jest'] : ['vitest', 'run'], env));
  return row;
}

async function main(): Promise<boolean> {
  const started = performance.now();
  const work = mkdtempSync(join(tmpdir(), 'workflow-matrix-'));
  const only = process.argv.slice(2).map((text) => text.toLowerCase());
  const cells = CELLS.filter(({ name }) => only.every((text) => name.toLowerCase().includes(text)));
  const given = process.env['TEST_DATABASE_URL'];
  const cluster = given === undefined ? await startCluster() : undefined;
  try {
    const packed = await succeed(ROOT, 'npm', [
      'pack',
      '--json',
      '--ignore-scripts',
      '--pack-destination',
      work,
    ]);
    const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
    const rows = new Map<string, readonly string[] | Error>();
    const left = [...cells];
    const lane = async (): Promise<void> => {
      for (let cell = left.shift(); cell; cell = left.shift()) {
        const row = await check(cell, work, join(work, filename), given ?? cluster!.url).catch(
          (error: unknown) => error as Error,
        );
        rows.set(cell.name, row);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const table = cells.map(({ name }) => {
      const row = rows.get(name)!;
      return row instanceof Error ? [name, 'FAILED'] : [name, ...row];
    });
    console.log(
      [['', ...COLUMNS], ...table]
        .map((line) =>
          line
            .map((text) => text.padEnd(22))
            .join('')
            .trimEnd(),
        )
        .join('\n'),
    );
    const failed = [...rows].filter(([, row]) => row instanceof Error);
    for (const [name, row] of failed) console.error(`\n${name}\n${(row as Error).message}`);
    console.log(
      `\n${cells.length - failed.length} of ${cells.length} in ${((performance.now() - started) / 1000).toFixed(0)} s`,
    );
    return failed.length === 0 && cells.length > 0;
  } finally {
    await cluster?.dispose();
    rmSync(work, { recursive: true, force: true });
  }
}

process.exitCode = (await main()) ? 0 : 1;
