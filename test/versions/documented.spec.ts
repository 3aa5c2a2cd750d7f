import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = join(ROOT, 'test', '.changing-workflows');

/** The TypeScript blocks by the file name in their first line. */
const text = readFileSync(join(ROOT, 'docs/changing-workflows.md'), 'utf8');
const blocks = [...text.matchAll(/^```ts\n\/\/ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, code]) => ({
  file: join(FOLDER, name!),
  code: code!,
}));

describe('the examples of docs/changing-workflows.md', () => {
  afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

  it('compile under the strictest rules', () => {
    expect(text.match(/^```ts\b/gm)).toHaveLength(blocks.length);
    expect(blocks.length).toBeGreaterThan(5);
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(join(FOLDER, '.gitignore'), '*\n');
    for (const { file, code } of blocks) writeFileSync(file, code);
    const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
    const program = ts.createProgram(
      blocks.map(({ file }) => file),
      options,
    );
    const errors = ts
      .getPreEmitDiagnostics(program)
      .map(
        ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      );
    expect(errors).toEqual([]);
  }, 120_000);
});
