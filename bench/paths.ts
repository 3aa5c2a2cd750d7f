/** Where things are: this file is executed from dist-tools/, what it speaks of lies in the repository. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function rootOf(folder: string): string {
  if (existsSync(join(folder, 'nest-cli.json'))) return folder;
  const above = dirname(folder);
  if (above === folder) throw new Error('The repository around the benchmark was not found');
  return rootOf(above);
}

export const ROOT = rootOf(dirname(fileURLToPath(import.meta.url)));
/** Also the folder in which the peers are installed. */
export const BENCH = join(ROOT, 'bench');
export const LOGS = join(BENCH, 'logs');
export const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));
