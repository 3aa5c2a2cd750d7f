import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const DOCS = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path)),
];

/** Without code, in which brackets are no links. */
const prose = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '');

const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** Links that lead nowhere, as `file: target`. */
function deadLinksIn(doc: string): string[] {
  const targets = [...prose(read(doc)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => {
      const [path, anchor] = target.split('#') as [string, string?];
      const file = path === '' ? doc : join(dirname(doc), path);
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchorsOf(read(file)).includes(anchor);
    })
    .map((target) => `${doc}: ${target}`);
}

describe('the documents', () => {
  it('were found', () => {
    expect(DOCS.length).toBeGreaterThan(10);
  });

  it.each(DOCS)('%s links to what exists', (doc) => {
    expect(deadLinksIn(doc)).toEqual([]);
  });

  it('name npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const own = ['audit', 'ci', 'install'];
    const named = [...DOCS, '.ci/run'].flatMap((doc) =>
      [...read(doc).matchAll(/\bnpm (?:run )?([a-z][\w:-]*)/g)].map(([, name]) => name!),
    );
    expect(named).toContain('start:order');
    // "npm" also stands in sentences
    const words = ['and', 'i', 'registry'];
    expect(
      named.filter((name) => !(name in scripts) && !own.includes(name) && !words.includes(name)),
    ).toEqual([]);
  });

  it('name files of this repository that exist', () => {
    const missing = DOCS.flatMap((doc) =>
      [...read(doc).matchAll(/`((?:lib|test|docs|sample)\/[\w./-]+)`/g)]
        .map(([, path]) => path!)
        .filter((path) => !existsSync(join(ROOT, path)))
        .map((path) => `${doc}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  it('name files of lib that exist, in the architecture', () => {
    const files = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' });
    const named = [...read('docs/architecture.md').matchAll(/`([\w/.-]+\.ts)`/g)].map(([, path]) => path!);
    expect(named.length).toBeGreaterThan(20);
    const known = (path: string): boolean =>
      files.some((file) => file === path || file.endsWith(`/${path}`)) || existsSync(join(ROOT, path));
    expect(named.filter((path) => !known(path))).toEqual([]);
  });

  it('have one sentence for each folder of lib, and for no other', () => {
    const folders = readdirSync(join(ROOT, 'lib'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    const text = read('docs/architecture.md');
    const rooms = text.slice(text.indexOf('\n## Rooms'), text.indexOf('\n## The way of a run'));
    const named = [...rooms.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!);
    expect(named.toSorted()).toEqual(folders.toSorted());
  });

  it('list every decision', () => {
    const files = readdirSync(join(ROOT, 'docs/adr')).filter((name) => /^\d/.test(name));
    const listed = [...read('docs/adr/README.md').matchAll(/\]\((\d[^)]+)\) \| (.+) \|$/gm)];
    expect(listed.map(([, file]) => file!)).toEqual(files.toSorted());
    const titles = listed.map(([, file]) => /^# \d+\. (.+)$/m.exec(read(join('docs/adr', file!)))?.[1]);
    expect(titles).toEqual(listed.map(([, , title]) => title));
  });
});

describe('the check of links', () => {
  it('reads anchors as GitHub makes them', () => {
    expect(anchorsOf('## Steps, retries & `errors`\n### A b')).toEqual(['steps-retries--errors', 'a-b']);
  });
});
