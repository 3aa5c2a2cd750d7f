import { readFileSync, readdirSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const LIB = fileURLToPath(new URL('../lib/', import.meta.url));
const NEST = ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs'];

interface Row {
  /** folders, root files (`workflow.options`) and packages; `node:*` stands for all of Node's own modules */
  readonly may: readonly string[];
  /** what may be imported as a type besides: it leaves nothing behind at run time */
  readonly types?: readonly string[];
}

// the API takes an EntityManager wherever a caller may bring a transaction
const TRANSACTION = ['typeorm'];

/** Who may import whom. Every folder may import itself, and types of `workflow.options`. */
const TABLE: Readonly<Record<string, Row>> = {
  errors: { may: [] },
  engine: { may: ['errors', 'node:crypto', 'jsep'] },
  ports: { may: ['engine', 'errors'], types: TRANSACTION },
  codec: { may: ['ports', 'errors', 'engine', 'devalue', 'node:*'] },
  authoring: {
    may: ['engine', 'errors', '@nestjs/common', 'reflect-metadata', 'croner', 'node:async_hooks'],
    types: TRANSACTION,
  },
  registry: { may: ['authoring', 'engine', 'errors', ...NEST, 'node:*'] },
  client: {
    may: ['ports', 'registry', 'authoring', 'engine', 'errors', 'node:*', ...NEST],
    types: TRANSACTION,
  },
  runtime: {
    may: ['ports', 'registry', 'authoring', 'engine', 'errors', 'codec', ...NEST, 'node:*'],
    types: TRANSACTION,
  },
  http: {
    may: ['ports', 'errors', 'engine', 'workflow.options', ...NEST, 'undici', 'ipaddr.js', 'node:*'],
  },
  typeorm: {
    may: ['ports', 'engine', 'errors', 'workflow.options', 'typeorm', 'pg', '@electric-sql/pglite', 'node:*'],
  },
};
/** Imports anything, and nothing in lib imports it. */
const TOP = 'testing';
/** Specs also have their tools. */
const SPEC_TOOLS = ['vitest', 'fast-check', 'node:*'];

/** Exceptions, file by file, so that they can be read. One that is no longer needed fails the test. */
const EXCEPTIONS: readonly { readonly file: string; readonly imports: string; readonly why: string }[] = [
  { file: 'typeorm/data-source.ts', imports: '@nestjs/common', why: 'the type of the logger it is given' },
];

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

function parse(source: string): ts.SourceFile {
  return ts.createSourceFile('file.ts', source, ts.ScriptTarget.Latest, true);
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

/** Static, type, re-exporting, dynamic and `import x = require()` imports; a computed one is shown as its text. */
function importsOf(source: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node, typeOnly: boolean): void => {
    found.push({ from: ts.isStringLiteralLike(specifier) ? specifier.text : specifier.getText(), typeOnly });
  };
  walk(parse(source), (node) => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node.importClause));
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isExternalModuleReference(node)) add(node.expression, false);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0]!, false);
    }
  });
  return found;
}

function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.isTypeOnly) return true;
  const named = clause.namedBindings;
  return (
    clause.name === undefined &&
    !!named &&
    ts.isNamedImports(named) &&
    named.elements.every((one) => one.isTypeOnly)
  );
}

/** What decides by itself when, or at random: refused in engine, whose answers depend on nothing but its arguments. */
function impureIn(source: string): string[] {
  const found: string[] = [];
  walk(parse(source), (node) => {
    const text = node.getText();
    const called = ts.isNewExpression(node) || ts.isCallExpression(node) ? node.expression.getText() : '';
    if (called === 'Date' && !(node as ts.NewExpression).arguments?.length) found.push(text);
    if (ts.isPropertyAccessExpression(node) && /^(globalThis\.)?(Date\.now|Math\.random)$/.test(text))
      found.push(text);
    if (ts.isIdentifier(node) && /^set(Timeout|Interval|Immediate)$/.test(text)) found.push(text);
  });
  return found;
}

/** `engine` for a file of that folder, `workflow.options` for one at the root, the package name for anything else. */
function targetOf(file: string, from: string): string {
  if (from.startsWith('.')) {
    const path = relative(LIB, join(LIB, dirname(file), from));
    return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.js$/, '');
  }
  if (isBuiltin(from)) return from.startsWith('node:') ? from : `node:${from}`;
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
}

function isAllowed(file: string, { from, typeOnly }: Import): boolean {
  const folder = file.slice(0, file.indexOf('/'));
  const target = targetOf(file, from);
  if (target === folder || folder === TOP) return true;
  const row = TABLE[folder]!;
  const allowed = [
    ...row.may,
    ...(typeOnly ? ['workflow.options', ...(row.types ?? [])] : []),
    ...(file.endsWith('.spec.ts') ? SPEC_TOOLS : []),
  ];
  return allowed.includes(target) || (target.startsWith('node:') && allowed.includes('node:*'));
}

const files = readdirSync(LIB, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(LIB, join(entry.parentPath, entry.name)));
const read = (file: string): string => readFileSync(join(LIB, file), 'utf8');

describe('the layers of lib', () => {
  const seen = new Map(
    files.filter((file) => /\.[jt]s$/.test(file)).map((file) => [file, importsOf(read(file))]),
  );
  const inFolders = [...seen].filter(([file]) => file.includes('/'));

  it('every file was read, and every folder is in the table', () => {
    expect(files.filter((file) => !seen.has(file))).toEqual([]);
    expect(seen.size).toBe(ts.sys.readDirectory(LIB, undefined, undefined, ['**/*']).length);
    expect([...seen.values()].flat().length).toBeGreaterThan(seen.size / 2);
    const folders = new Set(inFolders.map(([file]) => file.slice(0, file.indexOf('/'))));
    expect([...folders].filter((folder) => folder !== TOP && !(folder in TABLE))).toEqual([]);
  });

  it('each imports only what the table allows', () => {
    const refused = inFolders.flatMap(([file, imports]) =>
      imports
        .filter((one) => !isAllowed(file, one) && !isException(file, one))
        .map((one) => `${file} imports ${one.from}`),
    );
    expect(refused).toEqual([]);
  });

  it('nothing imports testing, the root files included', () => {
    const users = [...seen].filter(
      ([file, imports]) =>
        !file.startsWith(`${TOP}/`) && imports.some((one) => targetOf(file, one.from) === TOP),
    );
    expect(users.map(([file]) => file)).toEqual([]);
  });

  it('no exception is left over', () => {
    const unused = EXCEPTIONS.filter(({ file }) => !seen.get(file)?.some((one) => isException(file, one)));
    expect(unused).toEqual([]);
  });

  it('engine has no clock, no timer and no dice of its own', () => {
    const impure = files
      .filter((file) => file.startsWith('engine/') && !file.endsWith('.spec.ts'))
      .flatMap((file) => impureIn(read(file)).map((what) => `${file}: ${what}`));
    expect(impure).toEqual([]);
  });
});

/** Types only: an exception that reaches run time belongs in the table. */
function isException(file: string, one: Import): boolean {
  return (
    one.typeOnly && EXCEPTIONS.some((exception) => exception.file === file && exception.imports === one.from)
  );
}

describe('the table', () => {
  it('keeps http and typeorm apart, and everything below testing', () => {
    expect(isAllowed('http/a.ts', { from: '../typeorm/b.js', typeOnly: true })).toBe(false);
    expect(isAllowed('typeorm/a.ts', { from: '../http/b.js', typeOnly: true })).toBe(false);
    for (const folder of Object.keys(TABLE)) {
      expect(isAllowed(`${folder}/a.ts`, { from: '../testing/b.js', typeOnly: true })).toBe(false);
      expect(isAllowed(`${folder}/a.ts`, { from: '../workflow.options.js', typeOnly: true })).toBe(true);
    }
    expect(isAllowed('engine/a.ts', { from: '../workflow.options.js', typeOnly: false })).toBe(false);
    expect(isAllowed('typeorm/a/b.ts', { from: '../../index.js', typeOnly: false })).toBe(false);
  });
});

describe('the reader', () => {
  it('sees every kind of import, and nothing in comments and strings', () => {
    const source = `
      import 'a'; import b from 'b'; import * as c from 'c'; import { type D } from 'd'; import type { E } from 'e';
      import f, { type F } from 'f'; export * from 'g'; export type { H } from 'h'; import i = require('i');
      const j = await import('j'); let k: import('k').K; await import(l);
      // import 'no'
      const text = "import 'no'";`;
    expect(importsOf(source).map(({ from, typeOnly }) => (typeOnly ? `type ${from}` : from))).toEqual([
      'a',
      'b',
      'c',
      'type d',
      'type e',
      'f',
      'g',
      'type h',
      'i',
      'j',
      'type k',
      'l',
    ]);
  });

  it('sees what is impure', () => {
    const impure =
      'new Date(); new Date; Date(); Date.now(); globalThis.Math.random(); setTimeout(f); globalThis.setImmediate(f)';
    expect(impureIn(impure)).toHaveLength(7);
    expect(impureIn('new Date(5); // Date.now()\n"setTimeout"; Math.max(1)')).toEqual([]);
  });
});

describe('what is loaded when the package is', () => {
  it('has no `import.meta`: test runners that make CommonJS of it could not load it', () => {
    const files = readdirSync(LIB, { recursive: true, encoding: 'utf8' }).filter((path) =>
      /\.[jt]s$/.test(path),
    );
    const textOf = (path: string): string => readFileSync(join(LIB, path), 'utf8');
    const withMeta = files.filter((path) => /^(?!\s*(\/\/|\/?\*)).*\bimport\.meta\b/m.test(textOf(path)));
    // the code of the thread itself, and what is loaded by import() when the thread is made
    expect(withMeta.toSorted()).toEqual(['typeorm/beat-thread-url.ts', 'typeorm/beat-thread.js']);
    const importers = files.filter((path) => textOf(path).includes("from './beat-thread-url.js'"));
    expect(importers).toEqual([]);
  });
});
