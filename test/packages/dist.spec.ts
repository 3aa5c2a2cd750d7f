import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DIST = `${ROOT}dist/`;

/** What is said by a process that imports the package by its name, as `npm run build` has made it. */
async function said<T>(program: string): Promise<T> {
  const args = ['--enable-source-maps', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
  return JSON.parse(stdout) as T;
}

describe('the built package', () => {
  beforeAll(() => {
    if (!existsSync(`${DIST}library.js`)) throw new Error('dist/ is not there, or is older: npm run build');
  });

  it('has few files to load, and what both entries need is in one of them', () => {
    const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.js'),
    );
    expect(files.toSorted()).toEqual([
      'index.js',
      'library.js',
      'testing/index.js',
      'typeorm/beat-thread-url.js',
      'typeorm/beat-thread.js',
    ]);
    const imported = (name: string): string[] =>
      [...readFileSync(DIST + name, 'utf8').matchAll(/(?:from|import|import\() ?["'](\.[^"']+)/g)].map(
        ([, from]) => from!,
      );
    expect(imported('index.js')).toEqual(['./library.js']);
    expect(imported('testing/index.js')).toEqual(['../library.js']);
    expect(imported('library.js')).toEqual(['./typeorm/beat-thread-url.js']);
  });

  it('exports what the sources do, and each class under its own name', async () => {
    const script = `
      const entries = await Promise.all([import('nestjs-workflow'), import('nestjs-workflow/testing')]);
      const isClass = (value) => typeof value === 'function' && /^class/.test(String(value));
      const namesOf = (entry) => Object.entries(entry).map(([name, value]) => [name, isClass(value) ? value.name : name]);
      console.log(JSON.stringify(entries.map(namesOf)));`;
    const built = await said<[string, string][][]>(script);
    const sources = [await import('../../lib/index.js'), await import('../../lib/testing/index.js')];
    const names = sources.map((entry) =>
      Object.keys(entry)
        .toSorted()
        .map((name) => [name, name]),
    );
    expect(built.map((entry) => entry.toSorted(([a], [b]) => (a < b ? -1 : 1)))).toEqual(names);
  });

  it('leads back to the sources, line by line', async () => {
    const script = `
      import { WorkflowModule } from 'nestjs-workflow';
      try { WorkflowModule.forRoot({ database: { dataSource: 1 } }); }
      catch (error) { console.log(JSON.stringify(error.stack)); }`;
    const stack = await said<string>(script);
    const [, line] = /lib\/workflow\.persistence\.ts:(\d+):/.exec(stack) ?? [];
    const source = readFileSync(`${ROOT}lib/workflow.persistence.ts`, 'utf8').split('\n');
    expect(source.slice(Number(line) - 1, Number(line) + 1).join('\n')).toContain('throw new WorkflowError');
  });
});
