import type { PgModule } from './pglite/driver.js';
import type { PGliteSession } from './pglite/scheduler.js';
import { WorkflowError } from '../errors/index.js';

/** What is used of `@electric-sql/pglite`. */
export interface PGliteModule {
  readonly PGlite: {
    new (options: { dataDir?: string; startParams?: string[]; loadDataDir?: Blob }): PGliteSession;
    readonly defaultStartParams: string[];
  };
}

interface Modules {
  pg: PgModule;
  '@electric-sql/pglite': PGliteModule;
}

/** Imports a driver package. Injectable, so that a missing one can be tested. */
export type ImportModule = (name: keyof Modules) => Promise<unknown>;

const INSTALL: Readonly<Record<keyof Modules, string>> = {
  pg: 'npm i pg',
  '@electric-sql/pglite': 'npm i @electric-sql/pglite@^0.5.13',
};

// written out, so that bundlers and test runners see both names
const importModule: ImportModule = (name) => (name === 'pg' ? import('pg') : import('@electric-sql/pglite'));

/** @throws WorkflowError WF_DRIVER_MISSING with the line that installs the package */
export async function loadModule<Name extends keyof Modules>(
  name: Name,
  load: ImportModule = importModule,
): Promise<Modules[Name]> {
  try {
    const loaded = (await load(name)) as { default?: Modules[Name] } & Modules[Name];
    // pg is CommonJS: its exports are the default one
    return name === 'pg' ? (loaded.default ?? loaded) : loaded;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // a package that is there but lacks one of its own dependencies is another matter, told by the original error
    const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    if (!missing || !message.includes(name)) throw error;
    throw new WorkflowError(
      'WF_DRIVER_MISSING',
      `The package ${name} is not installed: \`${INSTALL[name]}\``,
      {
        cause: error,
      },
    );
  }
}
