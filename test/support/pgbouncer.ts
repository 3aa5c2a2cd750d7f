import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './postgres-cluster.js';
import type { Pooler } from './transaction-pooler.js';

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/pgbouncer', import.meta.url));
/** of Debian and Ubuntu; the libraries are those that a machine with little on it lacks */
const PACKAGES = ['pgbouncer', 'libc-ares2', 'libevent-2.1-7'];
/** Server connections of a pool: fewer than the clients have, so that they must share. */
const SERVER_CONNECTIONS = 6;

export interface Program {
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
}

/**
 * PgBouncer, first that is found: $PGBOUNCER, on the PATH, unpacked before in node_modules/.cache, Debian's package (downloaded
 * and unpacked there, which needs no root). Otherwise why there is none.
 */
export function findPgBouncer(): Program | string {
  const given = process.env.PGBOUNCER;
  if (given) return started(given) ?? `$PGBOUNCER (${given}) does not start`;
  const known = started('pgbouncer') ?? unpacked();
  if (known) return known;
  download();
  return unpacked() ?? 'there is no pgbouncer, and none to be had by apt-get';
}

function started(file: string, env: NodeJS.ProcessEnv = {}): Program | undefined {
  try {
    const said = execFileSync(file, ['--version'], {
      env: { ...process.env, ...env },
      stdio: 'pipe',
    }).toString();
    return { file, env, version: /PgBouncer ([\d.]+)/.exec(said)![1]! };
  } catch {
    return undefined;
  }
}

function unpacked(): Program | undefined {
  const libraries = join(CACHE, 'usr/lib');
  if (!existsSync(libraries)) return undefined;
  const folders = [libraries, ...readdirSync(libraries).map((name) => join(libraries, name))];
  return started(join(CACHE, 'usr/sbin/pgbouncer'), { LD_LIBRARY_PATH: folders.join(':') });
}

/** Whether it could, `unpacked` finds out: somebody else may be at the same. */
function download(): void {
  if (process.platform !== 'linux') return;
  mkdirSync(dirname(CACHE), { recursive: true });
  const folder = mkdtempSync(`${CACHE}-`);
  try {
    const quietly = { cwd: folder, stdio: 'pipe', timeout: 20_000 } as const;
    const patience = ['-o', 'Acquire::http::Timeout=5', '-o', 'Acquire::Retries=0'];
    execFileSync('apt-get', [...patience, 'download', ...PACKAGES], quietly);
    const packages = readdirSync(folder).filter((name) => name.endsWith('.deb'));
    for (const name of packages) execFileSync('dpkg-deb', ['-x', name, 'unpacked'], quietly);
    renameSync(join(folder, 'unpacked'), CACHE);
  } catch {
    // no such programs, no lists of packages, no network
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** PgBouncer in transaction mode in front of the server of `url`. It refuses to run as root, so root starts it as "nobody". */
export async function startPgBouncer(
  program: Program,
  url: string,
  settings: readonly string[] = [],
): Promise<Pooler> {
  const server = new URL(url);
  const folder = mkdtempSync(join(tmpdir(), 'workflow-pgbouncer-'));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const login = [
    `user=${server.username}`,
    ...(server.password ? [`password=${decodeURIComponent(server.password)}`] : []),
  ];
  const lines = [
    '[databases]',
    `* = host=${server.hostname} port=${server.port || 5432} ${login.join(' ')}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    `default_pool_size = ${SERVER_CONNECTIONS}`,
    'max_client_conn = 500',
    ...settings,
  ];
  const file = join(folder, 'pgbouncer.ini');
  writeFileSync(file, lines.join('\n'));
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'nobody']));
  const ids = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  const child = spawn(program.file, [file], {
    ...ids,
    env: { ...process.env, ...program.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((done) => child.once('exit', () => done()).once('error', () => done()));
  await new Promise<void>((ready, failed) => {
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (log.length < 10_000) log += chunk.toString();
      if (/process up/.test(chunk.toString())) ready();
    });
    child.once('error', failed);
    void ended.then(() => failed(new Error(`PgBouncer did not start:\n${log}`)));
  });
  return {
    port,
    dispose: async () => {
      process.removeListener('exit', kill);
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
