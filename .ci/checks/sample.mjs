/** Starts a sample in a folder of its own, on a port of its own, and talks to it. For the checks beside this file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PATIENCE_MS = 120_000;

export async function startSample(name) {
  const sample = new Sample(name, await freePort());
  await sample.start();
  return sample;
}

class Sample {
  /** where it keeps its journal and its files */
  folder = mkdtempSync(join(tmpdir(), 'sample-'));

  constructor(name, port) {
    this.name = name;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.main = fileURLToPath(new URL(`../../dist-sample/${name}/main.js`, import.meta.url));
    // also when the check fails
    process.once('exit', () => {
      this.process?.kill('SIGKILL');
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    });
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  }

  /** Starts it, again after `kill`; returns when it answers. */
  async start() {
    this.process = spawn(process.execPath, [this.main], {
      cwd: this.folder,
      // no DATABASE_URL and the like of the machine
      env: { PATH: process.env.PATH, NO_COLOR: '1', PORT: String(this.port) },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    await this.until('listening', () => fetch(this.url).then(() => true));
  }

  /** As a loss of the machine: nothing of it is told beforehand. */
  async kill() {
    await this.#end('SIGKILL');
  }

  async stop() {
    await this.#end('SIGTERM');
  }

  async #end(signal) {
    const exited = once(this.process, 'exit', { signal: AbortSignal.timeout(PATIENCE_MS) });
    this.process.kill(signal);
    await exited;
  }

  get(path) {
    return this.send('GET', path);
  }

  post(path, body) {
    return this.send('POST', path, body);
  }

  /** Throws unless the answer is a success. */
  async send(method, path, body) {
    const answer = await fetch(this.url + path, {
      method,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** What `look` gives, once it is something; it may throw meanwhile. */
  async until(what, look) {
    const deadline = Date.now() + PATIENCE_MS;
    for (let problem; ; await pause(200)) {
      try {
        const seen = await look();
        if (seen) return seen;
      } catch (error) {
        problem = error;
      }
      if (this.process.exitCode !== null || this.process.signalCode !== null)
        throw new Error(`${this.name} has ended before this: ${what}`);
      if (Date.now() > deadline)
        throw new Error(`${this.name} did not get as far as this within two minutes: ${what}`, {
          cause: problem,
        });
    }
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
