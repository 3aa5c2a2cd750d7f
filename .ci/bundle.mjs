/**
 * Second half of `npm run build`: puts the modules that tsc has written to dist/ into one file for each entry and one that they
 * share, because a process spends half a millisecond on each file that it imports (docs/adr/0023-one-file.md). Declarations stay
 * as they are, packages stay imports, and what is started or loaded as a file of its own stays one.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const DIST = join(ROOT, 'dist/');
/** `exports` of package.json. */
const ENTRIES = ['index', 'testing/index'];
/** Loaded apart, when it is needed: a test runner that makes CommonJS of the package cannot load `import.meta`. */
const APART = 'typeorm/beat-thread-url';
/** All that is in neither entry, so that both see the same classes and tokens. */
const SHARED = 'library';
/** The code of a thread: Node.js starts it as a file. */
const KEPT = /^typeorm[/\\]beat-thread\.js(\.map)?$/;

const fileOf = (name) => join(DIST, `${name}.js`);
const files = [...ENTRIES, APART].map(fileOf);
const isShared = (id) => !files.includes(id) && !id.startsWith(join(DIST, 'testing') + sep);

const { output } = await build({
  root: ROOT,
  configFile: false,
  logLevel: 'warn',
  plugins: [
    {
      name: 'source-maps-of-tsc',
      async load(id) {
        if (!id.startsWith(DIST)) return null;
        const map = JSON.parse(await readFile(`${id}.map`, 'utf8'));
        const sources = map.sources.map((path) => resolve(dirname(id), path));
        return { code: await readFile(id, 'utf8'), map: { ...map, sources } };
      },
    },
  ],
  build: {
    ssr: true,
    outDir: DIST,
    write: false,
    target: 'es2023',
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      input: Object.fromEntries([...ENTRIES, APART].map((name) => [name, fileOf(name)])),
      external: (id) => !id.startsWith('.') && !isAbsolute(id),
      // package.json says that nobody loads the package for its effects alone; its modules need those of each other
      treeshake: { moduleSideEffects: true },
      output: {
        format: 'es',
        comments: { legal: true, annotation: true, jsdoc: false },
        entryFileNames: '[name].js',
        chunkFileNames: '[name].js',
        minifyInternalExports: false,
        codeSplitting: { groups: [{ name: SHARED, test: isShared }] },
      },
    },
  },
});

const refuse = (why) => {
  throw new Error(`dist/ is left as tsc wrote it: ${why}`);
};
const chunks = output.filter(({ type }) => type === 'chunk');
const names = chunks.map(({ name }) => name).toSorted();
if (`${names}` !== `${[...ENTRIES, APART, SHARED].toSorted()}`) refuse(`the bundler made ${names}`);
for (const { name, code } of chunks) {
  if (code.includes('import.meta') && name !== APART) refuse(`\`import.meta\` is in ${name}`);
  // it is what Nest, TypeORM and the errors call it
  const renamed = /\bclass \w+\$\d+/.exec(code);
  if (renamed) refuse(`two classes have one name, and ${name} has a ${renamed[0]}`);
}

for (const path of await readdir(DIST, { recursive: true })) {
  if (/\.js(\.map)?$/.test(path) && !KEPT.test(path)) await rm(join(DIST, path));
}
for (const { type, fileName, code, source } of output) {
  const path = join(DIST, fileName);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, type === 'chunk' ? code : source);
}
