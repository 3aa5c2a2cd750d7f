import { type ChildProcess, fork } from 'node:child_process';
import { copyFileSync, mkdtempSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Bundles a TypeScript program with the library's sources, so that it runs in a process of its own whatever `dist/` holds.
 * @param entry path from the root of the repository
 */
export async function bundle(entry: string): Promise<{ file: string; remove(): void }> {
  // inside node_modules, so that the packages it imports are found
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const outDir = mkdtempSync(join(cache, 'workflow-child-'));
  await build({
    root: ROOT,
    configFile: false,
    logLevel: 'error',
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    build: {
      ssr: join(ROOT, entry),
      outDir,
      target: 'node20',
      rolldownOptions: { output: { entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs' } },
    },
  });
  // a thread is started from a file of its own, beside the code that starts it
  for (const thread of readdirSync(join(ROOT, 'lib/typeorm')).filter((name) => name.endsWith('-thread.js'))) {
    copyFileSync(join(ROOT, 'lib/typeorm', thread), join(outDir, thread));
  }
  const file = join(outDir, `${basename(entry, '.ts')}.mjs`);
  return { file, remove: () => rmSync(outDir, { recursive: true, force: true }) };
}

/** A running child, its output kept for the error that tells why it failed. */
export class Child {
  private output = '';
  readonly ended: Promise<number | NodeJS.Signals>;

  private constructor(readonly process: ChildProcess) {
    process.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    process.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.ended = once(process, 'exit').then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals);
  }

  /** @param env besides that of this process */
  static start(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
    return new Child(
      fork(file, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] }),
    );
  }

  /** The next message that `wanted` accepts; rejects when the child ends before. */
  message<T>(wanted: (message: T) => boolean = () => true): Promise<T> {
    return new Promise((resolve, reject) => {
      const onMessage = (message: unknown): void => {
        if (!wanted(message as T)) return;
        this.process.off('message', onMessage);
        resolve(message as T);
      };
      this.process.on('message', onMessage);
      void this.ended.then((how) => reject(new Error(`The child ended (${how}):\n${this.output}`)));
    });
  }

  /** SIGKILL; resolves when it is dead. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}
