import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HERE = join(ROOT, 'test/types');
const files = readdirSync(HERE)
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
  .map((name) => join(HERE, name));

function compile(roots: readonly string[]): { program: ts.Program; said: string[] } {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (file) => ts.sys.readFile(file));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const program = ts.createProgram(roots, options);
  // only these files are checked, and of the rest what they refer to
  const said = roots
    .map((file) => program.getSourceFile(file)!)
    .flatMap((source) => [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ])
    .map(({ file, start = 0, messageText }) => {
      const line = file!.getLineAndCharacterOfPosition(start).line + 1;
      return `${file!.fileName.slice(ROOT.length)}:${line} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
  return { program, said };
}

it('every example compiles, and every line that must not compile does not', () => {
  const { program, said } = compile(files);
  expect(said).toEqual([]);
  // an @ts-expect-error without an error is a diagnostic, too
  const negative = files.flatMap((file) => readFileSync(file, 'utf8').match(/@ts-expect-error/g) ?? []);
  expect(negative.length).toBeGreaterThanOrEqual(14);
  // what is checked is the source of the library itself
  expect(program.getSourceFile(join(ROOT, 'lib/index.ts'))).toBeDefined();
}, 120_000);
