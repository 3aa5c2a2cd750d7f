import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { WorkflowError } from '../../errors/index.js';
import { type ImportModule, loadModule } from '../modules.js';
import { createPGliteDriver, type PGliteDriver } from './driver.js';
import { lockFolder, type LockOptions } from './lock-file.js';

/** An open PGlite that belongs to this process. */
export interface EmbeddedDatabase {
  /** for TypeORM's `driver:` */
  readonly driver: PGliteDriver;
  /** `memory`, or the absolute path of the folder */
  readonly where: string;
  /** all of it as a tar, for `loadDataDir`; takes about a second and 40 MB */
  dump(): Promise<Blob>;
  /** closes PGlite, then frees the folder; idempotent. Close the pools first. */
  close(): Promise<void>;
}

export interface EmbeddedOptions {
  /** start from this dump when the folder holds no database yet */
  loadDataDir?: Blob;
  lock?: LockOptions;
  load?: ImportModule;
}

/** 16 MB instead of 128: the default doubles the memory of the process and gains nothing here */
const LOW_MEMORY = ['-c', 'shared_buffers=16MB'];

/**
 * Opens PGlite in a folder (made when it is missing) or in memory.
 *
 * In a folder each committed row survives the death of the process at any moment, but not a loss of power: PGlite does
 * not wait for the disk.
 *
 * @throws WorkflowError WF_DRIVER_MISSING, WF_DATABASE_IN_USE, WF_DATABASE_UNAVAILABLE when PGlite cannot open the folder
 */
export async function openEmbedded(where: string, options: EmbeddedOptions = {}): Promise<EmbeddedDatabase> {
  // packages first: a missing one must not leave a folder behind
  const { PGlite } = await loadModule('@electric-sql/pglite', options.load);
  const pg = await loadModule('pg', options.load);

  const folder = where === 'memory' ? undefined : resolve(where);
  const unlock = folder === undefined ? () => undefined : await lockFolder(folder, options.lock);
  // beside the lock: PGlite wants a folder with nothing else in it
  const dataDir = folder === undefined ? undefined : join(folder, 'data');
  const fresh = dataDir === undefined || !existsSync(join(dataDir, 'PG_VERSION'));
  try {
    const session = new PGlite({
      ...(dataDir === undefined ? {} : { dataDir }),
      ...(fresh && options.loadDataDir ? { loadDataDir: options.loadDataDir } : {}),
      startParams: [...PGlite.defaultStartParams, ...LOW_MEMORY],
    });
    await session.waitReady;
    let closing: Promise<void> | undefined;
    return {
      driver: createPGliteDriver(session, pg),
      where: folder ?? 'memory',
      dump: () => session.dumpDataDir('none'),
      // without close() PGlite keeps the process alive for ten more seconds
      close: () => (closing ??= session.close().finally(unlock)),
    };
  } catch (error) {
    unlock();
    const madeBy = fresh
      ? ''
      : ` (made by PostgreSQL ${readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim()})`;
    throw new WorkflowError(
      'WF_DATABASE_UNAVAILABLE',
      `The embedded database in ${folder ?? 'memory'}${madeBy} does not open: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
