/**
 * The public API as text, from the declarations in dist/: every exported name with its declaration and the first line of its
 * documentation. `npm run api` writes docs/api/*.api.md; `npm run api:check` fails when the committed ones differ.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const ENTRIES = {
  'nestjs-workflow': 'dist/index.d.ts',
  'nestjs-workflow/testing': 'dist/testing/index.d.ts',
};
const fileOf = (name) => join(ROOT, 'docs/api', `${name.split('/').at(-1)}.api.md`);

const program = ts.createProgram(
  Object.values(ENTRIES).map((path) => join(ROOT, path)),
  { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2023, strict: true, skipLibCheck: true, types: ['node'] },
);
const checker = program.getTypeChecker();
const printer = ts.createPrinter({ removeComments: true });

const symbolsOf = (path) => {
  const file = program.getSourceFile(join(ROOT, path));
  if (!file) throw new Error(`${path} is not there: npm run build`);
  return checker.getExportsOfModule(checker.getSymbolAtLocation(file));
};
const target = (symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol);
const isOurs = (node) => node.getSourceFile().fileName.startsWith(join(ROOT, 'dist/'));

/** Classes that Nest makes: what they are injected with is no API. */
const madeByNest = (symbol) =>
  (target(symbol).declarations ?? []).some(
    (node) => ts.isClassDeclaration(node) && node.name?.text.startsWith('Workflow') && isOurs(node),
  );

/** First line of what a docstring says; '' without one. */
const firstLine = (symbol) =>
  ts
    .displayPartsToString(symbol.getDocumentationComment(checker))
    .split(/\n/, 1)[0]
    .trim();

/** The declaration as TypeScript prints it, without comments and without private members. */
function printed(node, withoutConstructor) {
  const hidden = ts.ModifierFlags.Private;
  const visit = (each) => {
    const isPrivate =
      (ts.isClassElement(each) && ts.getCombinedModifierFlags(each) & hidden) ||
      (each.name && ts.isPrivateIdentifier(each.name));
    // what a private parameter property is called concerns nobody, that it must be given does
    if (withoutConstructor && ts.isConstructorDeclaration(each)) return undefined;
    return isPrivate ? undefined : ts.visitEachChild(each, visit, undefined);
  };
  const statement = ts.isVariableDeclaration(node) ? node.parent.parent : node;
  const shown = ts.visitEachChild(statement, visit, undefined);
  return printer
    .printNode(ts.EmitHint.Unspecified, shown, statement.getSourceFile())
    .replace(/^(export )?(declare )?/, '')
    .trim();
}

/** Names of our own types that signatures mention and no entry exports, each with who mentions it. */
function mentioned(symbols, exported) {
  const found = new Map();
  for (const symbol of symbols) {
    for (const declaration of target(symbol).declarations ?? []) {
      if (!isOurs(declaration)) continue;
      const visit = (node) => {
        if (ts.isConstructorDeclaration(node) && madeByNest(symbol)) return;
        if (ts.isClassElement(node) && ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Private) return;
        if (ts.isIdentifier(node) && (ts.isTypeReferenceNode(node.parent) || ts.isExpressionWithTypeArguments(node.parent) || ts.isTypeQueryNode(node.parent))) {
          const named = checker.getSymbolAtLocation(node);
          const real = named && target(named);
          const at = real?.declarations?.[0];
          if (at && isOurs(at) && !ts.isTypeParameterDeclaration(at) && !exported.has(real))
            found.set(real, [...(found.get(real) ?? []), symbol.name]);
        }
        ts.forEachChild(node, visit);
      };
      visit(declaration);
    }
  }
  return found;
}

function reportOf(name, exportedAnywhere) {
  const symbols = symbolsOf(ENTRIES[name]).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const undocumented = [];
  const parts = symbols.map((symbol) => {
    const real = target(symbol);
    const line = firstLine(real);
    if (line === '') undocumented.push(symbol.name);
    const code = (real.declarations ?? []).filter(isOurs).map((node) => printed(node, madeByNest(symbol)));
    return `## ${symbol.name}\n\n${line === '' ? '(undocumented)' : line}\n\n\`\`\`ts\n${code.join('\n')}\n\`\`\`\n`;
  });
  const unexported = [...mentioned(symbols, exportedAnywhere)]
    .map(([symbol, by]) => {
      const file = relative(join(ROOT, 'dist'), symbol.declarations[0].getSourceFile().fileName);
      return `- \`${symbol.name}\` (${file.replace('.d.ts', '.ts')}), in ${[...new Set(by)].toSorted().join(', ')}`;
    })
    .toSorted();
  const notes = [
    `${symbols.length} names. Written by \`npm run api\`; do not edit.`,
    ...(undocumented.length > 0 ? [`Undocumented: ${undocumented.join(', ')}.`] : []),
    ...(unexported.length > 0 ? [`Types in signatures that are not exported:\n\n${unexported.join('\n')}`] : []),
  ];
  return `# API of \`${name}\`\n\n${notes.join('\n\n')}\n\n${parts.join('\n')}`;
}

const check = process.argv.includes('--check');
const exported = new Set(Object.values(ENTRIES).flatMap((path) => symbolsOf(path).map(target)));
let differs = false;
for (const name of Object.keys(ENTRIES)) {
  const file = fileOf(name);
  const text = reportOf(name, exported);
  if (!check) {
    mkdirSync(join(ROOT, 'docs/api'), { recursive: true });
    writeFileSync(file, text);
    continue;
  }
  const committed = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (committed === text) continue;
  differs = true;
  const [before, after] = [committed.split('\n'), text.split('\n')];
  const gone = before.filter((line) => !after.includes(line)).map((line) => `- ${line}`);
  const come = after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`);
  console.error(`${relative(ROOT, file)} is not the API any more:\n${[...gone, ...come].slice(0, 40).join('\n')}\n`);
}
if (differs) {
  console.error('If that is meant: `npm run api`, commit what it writes, and tell users in CHANGELOG.md.');
  process.exitCode = 1;
}
