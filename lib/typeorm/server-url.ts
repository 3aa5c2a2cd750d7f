import { WorkflowError } from '../errors/index.js';

/** Where a server is, for messages. Holds no secret. */
export interface ServerAddress {
  readonly host: string;
  readonly port: string;
  readonly database: string;
}

/**
 * Checks a connection URL before a library can put it, password and all, into an error of its own.
 * @throws WorkflowError WF_DATABASE_NOT_POSTGRES for another scheme, WF_INVALID_OPTIONS when it cannot be read; neither
 * shows any part of the URL but the scheme.
 */
export function checkServerUrl(url: unknown): string {
  if (typeof url !== 'string' || url === '') {
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      '`database.url` is not a text; it looks like postgres://user:password@host:5432/name',
    );
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'postgres' && scheme !== 'postgresql') {
    throw new WorkflowError('WF_DATABASE_NOT_POSTGRES', `\`database.url\` is of type "${scheme}"`);
  }
  const parsed = tryParse(url);
  // a raw `@`, `/`, `#` or `?` in a password cuts the URL at the wrong place, and the rest would be shown as a host or a name
  const cut =
    parsed &&
    (parsed.hash !== '' || parsed.pathname.includes('@') || (parsed.username === '' && url.includes('@')));
  if (scheme === undefined || !parsed || cut) {
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      '`database.url` cannot be read as postgres://user:password@host:5432/name; percent-encode special characters of the password',
    );
  }
  return url;
}

function tryParse(url: string): URL | undefined {
  try {
    const parsed = new URL(url);
    for (const part of [parsed.username, parsed.password, parsed.pathname]) decodeURIComponent(part);
    return parsed;
  } catch {
    return undefined;
  }
}

interface Credentials {
  readonly url?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly database?: string | undefined;
}

/** Host, port and database that node-postgres will use; a url goes before single options, these before PG* variables. */
export function addressOf(options: Credentials): ServerAddress {
  const url = options.url === undefined ? undefined : tryParse(options.url);
  const env = process.env;
  return {
    host: url?.searchParams.get('host') || url?.hostname || options.host || env.PGHOST || 'localhost',
    port: url?.searchParams.get('port') || url?.port || String(options.port ?? env.PGPORT ?? 5432),
    database:
      decodeURIComponent(url?.pathname.slice(1) ?? '') || options.database || env.PGDATABASE || '(default)',
  };
}
