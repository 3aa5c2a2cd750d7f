import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BLOCK = 512;

/**
 * The library as it was released before: the compiled files of commit d0adb0d, which knew nothing of versions side by side.
 * Unpacked inside node_modules, so that what it imports is found.
 */
export function previousRelease(): { main: string; remove(): void } {
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'workflow-0.1.0-'));
  const tar = gunzipSync(readFileSync(new URL('./nestjs-workflow-0.1.0.tgz', import.meta.url)));
  const text = (from: number, length: number): string =>
    tar.toString('latin1', from, from + length).replace(/[\0 ].*$/s, '');
  for (let at = 0; text(at, 100) !== '';) {
    const [name, size, type] = [text(at, 100), parseInt(text(at + 124, 12), 8), text(at + 156, 1)];
    at += BLOCK;
    if (type !== '5') {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), tar.subarray(at, at + size));
    }
    at += Math.ceil(size / BLOCK) * BLOCK;
  }
  return {
    main: join(folder, 'package/dist/index.js'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
